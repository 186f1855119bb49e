//! Metrics as tables.

/// Makes a struct of metric handles out of rows that name, explain and resolve each metric once.
///
/// # Shape
/// `kind "name" "help" [label] field, field;`: a handle per field. Without a label there is one;
/// `[label]` gives each field its own name as value, `[label: Values]` makes one field of handles in
/// the order of `Values::ALL`.
///
/// ```
/// evp_shared::metric_table! {
///     /// Handles of the live stream's metrics.
///     pub struct FeedMetrics {
///         gauge "evp_test_subscribers" "Clients of the live stream." [] subscribers;
///         counter "evp_test_events_total" "Events by what became of them." [outcome] sent, dropped;
///     }
/// }
/// FeedMetrics::resolve().sent.increment(1);
/// ```
#[macro_export]
macro_rules! metric_table {
    (@type $kind:ident [$label:ident: $values:ty]) => {
        Vec<$crate::metric_table!(@type $kind [])>
    };
    (@type counter $labels:tt) => { ::metrics::Counter };
    (@type gauge $labels:tt) => { ::metrics::Gauge };
    (@type histogram $labels:tt) => { ::metrics::Histogram };

    (@describe counter $name:literal $help:literal) => { ::metrics::describe_counter!($name, $help) };
    (@describe gauge $name:literal $help:literal) => { ::metrics::describe_gauge!($name, $help) };
    (@describe histogram $name:literal $help:literal) => { ::metrics::describe_histogram!($name, $help) };

    (@resolve $kind:ident $name:literal [] $field:ident) => { ::metrics::$kind!($name) };
    (@resolve $kind:ident $name:literal [$label:ident] $field:ident) => {
        ::metrics::$kind!($name, stringify!($label) => stringify!($field))
    };
    (@resolve $kind:ident $name:literal [$label:ident: $values:ty] $field:ident) => {
        <$values>::ALL
            .iter()
            .map(|value| ::metrics::$kind!($name, stringify!($label) => value.as_str()))
            .collect()
    };

    (
        $(#[$meta:meta])*
        $vis:vis struct $Table:ident {
            $($kind:ident $name:literal $help:literal $labels:tt $($field:ident),+;)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        $vis struct $Table {
            $($(
                #[doc = $help]
                $vis $field: $crate::metric_table!(@type $kind $labels),
            )+)*
        }

        impl $Table {
            /// Describes the metrics and resolves their handles.
            $vis fn resolve() -> Self {
                $($crate::metric_table!(@describe $kind $name $help);)*
                Self {
                    $($($field: $crate::metric_table!(@resolve $kind $name $labels $field),)+)*
                }
            }
        }
    };
}
