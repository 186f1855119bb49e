//! Metrics as tables.

/// Makes a struct of metric handles out of rows that name, explain and resolve each metric once.
///
/// # Shape
/// `kind "name" "help" [labels] field, field;`: a handle per field. Of the labels, `label` has the
/// field's name as value, `label = value` that one; `label in values` makes a field a list with a
/// handle for each value in their order, so that those of an enum's `ALL` are found by its values
/// `as usize`. What values are made of can be given to `resolve`: `struct Metrics(count: u16)`.
/// Besides the recorder's kinds there are `total`, a counter that is set to what was counted
/// elsewhere, and [`weighted`](crate::telemetry::Weighted).
///
/// ```
/// evp_shared::metric_table! {
///     /// Handles of the live stream's metrics.
///     pub struct FeedMetrics(readers: usize) {
///         gauge "evp_test_subscribers" "Clients of the live stream." [] subscribers;
///         counter "evp_test_events_total" "Events by what became of them." [outcome] sent, dropped;
///         counter "evp_test_reads_total" "Reads." [reader in 0..readers, result in ["ok"]] reads;
///         weighted "evp_test_sent_seconds" "Time until an event was sent." [] sent_after;
///     }
/// }
/// let metrics = FeedMetrics::resolve(3);
/// metrics.sent.increment(1);
/// metrics.reads[2][0].increment(1);
/// ```
#[macro_export]
macro_rules! metric_table {
    (@type counter []) => { ::metrics::Counter };
    (@type gauge []) => { ::metrics::Gauge };
    (@type histogram []) => { ::metrics::Histogram };
    (@type total []) => { ::metrics::Gauge };
    (@type weighted []) => { $crate::telemetry::Weighted };
    (@type $kind:ident [$label:ident in $values:expr $(, $($more:tt)*)?]) => {
        Vec<$crate::metric_table!(@type $kind [$($($more)*)?])>
    };
    (@type $kind:ident [$label:ident $(= $value:expr)? $(, $($more:tt)*)?]) => {
        $crate::metric_table!(@type $kind [$($($more)*)?])
    };

    (@describe counter $name:literal $help:literal) => { ::metrics::describe_counter!($name, $help) };
    (@describe gauge $name:literal $help:literal) => { ::metrics::describe_gauge!($name, $help) };
    (@describe histogram $name:literal $help:literal) => { ::metrics::describe_histogram!($name, $help) };

    (@describe total $name:literal $help:literal) => {{
        $crate::telemetry::counts_elsewhere($name);
        ::metrics::describe_gauge!($name, $help)
    }};
    (@describe weighted $name:literal $help:literal) => {
        drop($crate::telemetry::Weighted::named($name, $help))
    };

    (@resolve weighted $name:literal $field:ident [] $($known:expr),*) => {
        $crate::telemetry::Weighted::named($name, "")
    };
    (@resolve total $($rest:tt)*) => { $crate::metric_table!(@resolve gauge $($rest)*) };
    (@resolve $kind:ident $name:literal $field:ident [] $($known:expr),*) => {
        ::metrics::$kind!($name, Vec::<::metrics::Label>::from([$($known),*]))
    };
    (@resolve $kind:ident $name:literal $field:ident
        [$label:ident in $values:expr $(, $($more:tt)*)?] $($known:expr),*) => {
        $values
            .into_iter()
            .map(|value| $crate::metric_table!(@resolve $kind $name $field [$($($more)*)?]
                $($known,)* ::metrics::Label::new(stringify!($label), value.to_string())))
            .collect()
    };
    (@resolve $kind:ident $name:literal $field:ident
        [$label:ident = $value:expr $(, $($more:tt)*)?] $($known:expr),*) => {
        $crate::metric_table!(@resolve $kind $name $field [$($($more)*)?]
            $($known,)* ::metrics::Label::new(stringify!($label), $value))
    };
    (@resolve $kind:ident $name:literal $field:ident
        [$label:ident $(, $($more:tt)*)?] $($known:expr),*) => {
        $crate::metric_table!(@resolve $kind $name $field
            [$label = stringify!($field) $(, $($more)*)?] $($known),*)
    };

    (
        $(#[$meta:meta])*
        $vis:vis struct $Table:ident $(($($given:ident: $given_type:ty),+))? {
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
            $vis fn resolve($($($given: $given_type),+)?) -> Self {
                $($crate::metric_table!(@describe $kind $name $help);)*
                Self {
                    $($($field: $crate::metric_table!(@resolve $kind $name $field $labels),)+)*
                }
            }
        }
    };
}

/// A count as gauges and histograms take it.
#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to 2^52, and near enough above"
)]
pub fn as_f64(count: impl TryInto<i64>) -> f64 {
    count.try_into().unwrap_or(i64::MAX) as f64
}
