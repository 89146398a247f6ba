//! Enums whose labels are the same in Postgres, on the wire and here. A label is written once, as it
//! is stored: renaming a variant must not change what is hashed, kept or sent.

use std::fmt;

/// A text that is none of these labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownLabel(pub(crate) &'static [&'static str]);

impl fmt::Display for UnknownLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be ")?;
        for (index, label) in self.0.iter().enumerate() {
            let before = match self.0.len() - index {
                _ if index == 0 => "",
                1 => " or ",
                _ => ", ",
            };
            write!(f, "{before}{label}")?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownLabel {}

/// Declares such an enum. A label is taken as a token: the derive of `ToSchema` overlooks a literal
/// that a macro has captured as one, and would put the Rust names into the contract.
macro_rules! labelled {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $label:tt),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize,
        )]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $label)] $variant),+
        }

        impl $name {
            pub const ALL: [$name; [$($label),+].len()] = [$($name::$variant),+];

            pub const fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $label),+
                }
            }
        }

        // A derived implementation would also accept `{"LABEL": null}`, which the contract does not have.
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<$name, D::Error> {
                let label = <String as serde::Deserialize>::deserialize(deserializer)?;
                let unknown = |_| serde::de::Error::unknown_variant(&label, &[$($label),+]);
                label.parse().map_err(unknown)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::labels::UnknownLabel;

            fn from_str(text: &str) -> Result<$name, $crate::labels::UnknownLabel> {
                $name::ALL
                    .into_iter()
                    .find(|value| value.as_str() == text)
                    .ok_or($crate::labels::UnknownLabel(&[$($label),+]))
            }
        }
    };
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::economy::Enforcement;
    use crate::entry_types::EntryType;
    use crate::prediction::PriceSource;

    #[test]
    fn a_text_that_is_no_label_is_told_the_labels() {
        let told = |error: super::UnknownLabel| error.to_string();
        assert_eq!(
            "Kraken".parse::<PriceSource>().map_err(told),
            Err("must be coingecko, kraken, replay or simulated".to_owned())
        );
        assert_eq!(
            "".parse::<Enforcement>().map_err(told),
            Err("must be observe or enforce".to_owned())
        );
        assert_eq!("kraken".parse(), Ok(PriceSource::Kraken));
    }
    #[test]
    fn a_label_is_read_as_a_text_and_in_no_other_form() {
        for entry_type in EntryType::ALL {
            let json = format!("\"{entry_type}\"");
            assert_eq!(serde_json::to_string(&entry_type).unwrap(), json);
            assert_eq!(serde_json::from_str::<EntryType>(&json).unwrap(), entry_type);
            let forms = [format!("{{{json}: null}}"), format!("[{json}]"), json.to_lowercase()];
            for other in forms.iter().map(String::as_str).chain(["null", "0", "\"\""]) {
                assert!(serde_json::from_str::<EntryType>(other).is_err(), "{other}");
            }
        }
        let unknown = serde_json::from_str::<PriceSource>("\"Kraken\"").unwrap_err().to_string();
        assert!(unknown.starts_with("unknown variant `Kraken`, expected one of `coingecko`"));
    }
}
