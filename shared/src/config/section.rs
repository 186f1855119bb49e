//! Configuration as tables.

/// Makes a section out of rows that name, type, default, bound and explain each key once.
///
/// # Shape
/// `field: Type = "default", "lowest"..="highest" => reloads;`, where the bounds may be left out, and what
/// is behind them: it marks a key that is taken over while the service runs. The comment
/// above a row is what `docs/CONFIGURATION.md` says of the key: purpose, unit, and what gets worse
/// when it is raised or lowered. The key is the section's name and the field's, or what stands in
/// brackets behind the field. `Type as Value` reads a [`Value`](crate::config::Value) and keeps
/// what becomes of it.
///
/// `struct Section in "name"` makes the struct and its `read`; `fn rules() -> Rules in "name"` fills
/// a struct that is defined elsewhere. `struct Section: keys(source) in "name"` makes a private `keys`
/// instead of `read`, for a `read` that looks at several keys. What is not a key follows in
/// `with { field: Type = value; }`, where a value may use the keys, and the source as the head names
/// it.
///
/// ```
/// use evp_shared::config::{ByteSize, Source};
///
/// evp_shared::config_section! {
///     /// How large a frame may become.
///     pub struct FrameConfig in "ingest.frame" {
///         /// Most events in one frame.
///         events: u32 = "1000", "1"..="1250";
///         /// Largest frame, uncompressed.
///         bytes: usize as ByteSize = "512KiB", "4KiB"..="4MiB";
///     }
/// }
///
/// let mut source = Source::from_text("[ingest.frame]\nbytes = \"1MiB\"", &[])?;
/// let frame = FrameConfig::read(&mut source);
/// let frame = source.finish(frame)?;
/// assert_eq!((frame.events, frame.bytes), (1_000, 1_048_576));
/// # Ok::<(), evp_shared::config::ConfigProblems>(())
/// ```
#[macro_export]
macro_rules! config_section {
    (@name $section:literal $field:ident) => { concat!($section, ".", stringify!($field)) };
    (@name $section:literal $field:ident $name:literal) => { $name };
    (@value $type:ty) => { $type };
    (@value $type:ty as $Value:ty) => { $Value };
    (@read $source:ident, $Section:ident in $section:literal {
        $(
            $(#[doc = $help:literal])+
            $field:ident $([$name:literal])?: $type:ty $(as $Value:ty)?
                = $default:expr $(, $lowest:literal..=$highest:literal)? $(=> $reloads:ident)?;
        )*
    } $(with { $($(#[$meta:meta])* $part:ident: $Part:ty = $value:expr;)* })?) => {{
        $(
            let key = $crate::config::Key::<$crate::config_section!(@value $type $(as $Value)?)>::new(
                $crate::config_section!(@name $section $field $($name)?),
                $default,
                concat!($($help),+),
            )$(.range($lowest, $highest))?$(.$reloads())?;
            let $field = <$type>::from($source.get(&key));
        )*
        $($(let $part: $Part = $value;)*)?
        $Section { $($field,)* $($($part,)*)? }
    }};

    (@struct $(#[$meta:meta])* $vis:vis $Section:ident {
        $(
            $(#[doc = $help:literal])+
            $field:ident $([$name:literal])?: $type:ty $(as $Value:ty)?
                = $default:expr $(, $lowest:literal..=$highest:literal)? $(=> $reloads:ident)?;
        )*
    } $(with { $($(#[$part_meta:meta])* $part:ident: $Part:ty = $value:expr;)* })?) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        $vis struct $Section {
            $($(#[doc = $help])+ $vis $field: $type,)*
            $($($(#[$part_meta])* $vis $part: $Part,)*)?
        }
    };
    (
        @fn $vis:vis $read:ident($source:ident $(, $arg:ident: $Arg:ty)*)
            -> $Section:ident $($table:tt)*
    ) => {
        /// Reads the keys.
        $vis fn $read($source: &mut $crate::config::Source $(, $arg: $Arg)*) -> $Section {
            $crate::config_section! { @read $source, $Section $($table)* }
        }
    };

    ($(#[$meta:meta])* $vis:vis struct $Section:ident in $section:literal $($rows:tt)*) => {
        $crate::config_section! {
            $(#[$meta])* $vis struct $Section: $vis read(source) in $section $($rows)*
        }
    };
    (
        $(#[$meta:meta])*
        $vis:vis struct $Section:ident: $read_vis:vis $read:ident($($args:tt)*)
            in $section:literal $($rows:tt)*
    ) => {
        $crate::config_section! { @struct $(#[$meta])* $vis $Section $($rows)* }

        impl $Section {
            $crate::config_section! {
                @fn $read_vis $read($($args)*) -> $Section in $section $($rows)*
            }
        }
    };
    ($vis:vis fn $read:ident($($args:tt)*) -> $($table:tt)*) => {
        $crate::config_section! { @fn $vis $read($($args)*) -> $($table)* }
    };
}
