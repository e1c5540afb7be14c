//! The words that log, metric and header use for the values of an enum.

/// Gives an enum its list of values and one label each, so that log, metric and header cannot disagree.
macro_rules! labels {
    ($type:ty { $($variant:ident = $label:literal),+ $(,)? }) => {
        impl $type {
            /// All values, in the order of their declaration: the index of one is its metric slot.
            pub const ALL: &'static [$type] = &[$(<$type>::$variant),+];

            /// The word that log, metric and header use.
            pub fn label(self) -> &'static str {
                match self { $(<$type>::$variant => $label),+ }
            }
        }
    };
}

pub(crate) use labels;
