//! Closed enums whose values have names.

/// A closed enum, read by name.
pub trait Choice: Copy + 'static {
    /// All values with their names, as written in the configuration.
    const CHOICES: &'static [(&'static str, Self)];

    /// The value of this name.
    fn named(wanted: &str) -> Option<Self> {
        let mut all = Self::CHOICES.iter();
        all.find_map(|(name, value)| (*name == wanted).then_some(*value))
    }
}

/// Makes an enum whose values are written with their names, once: in configuration, answers, logs,
/// metrics and storage. A name never changes, whatever its value is called here.
///
/// ```
/// use evp_shared::choice::Choice;
///
/// evp_shared::choices! {
///     /// How to go on.
///     #[derive(Debug, Clone, Copy, PartialEq)]
///     pub enum Way {
///         /// On.
///         Ahead = "ahead",
///         /// Not at all.
///         Stop = "stop",
///     }
/// }
/// assert_eq!(Way::ALL, [Way::Ahead, Way::Stop]);
/// assert_eq!((Way::Stop.as_str(), Way::CHOICES[0]), ("stop", ("ahead", Way::Ahead)));
/// ```
#[macro_export]
macro_rules! choices {
    (
        $(#[$meta:meta])*
        $vis:vis enum $Choice:ident {
            $($(#[$doc:meta])* $Value:ident = $name:literal,)+
        }
    ) => {
        $(#[$meta])*
        $vis enum $Choice {
            $($(#[$doc])* $Value,)+
        }

        impl $Choice {
            /// Every value.
            $vis const ALL: [Self; [$($name),+].len()] = [$(Self::$Value),+];

            /// The name.
            #[must_use]
            $vis const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$Value => $name,)+
                }
            }
        }

        impl $crate::choice::Choice for $Choice {
            const CHOICES: &'static [(&'static str, Self)] = &[$(($name, Self::$Value)),+];
        }

        impl ::std::fmt::Display for $Choice {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
