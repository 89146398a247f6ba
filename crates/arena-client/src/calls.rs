//! Calls as a table: what each takes and answers, how it is asked, and for what.

/// Declares methods, each by a row: its name and what it takes, what is answered, and the method that asks, with
/// the operation as `docs/openapi.json` has it, what takes the place of the names in its path, and its query or body.
macro_rules! calls {
    ($client:ident: $(
        $(#[$about:meta])*
        $name:ident($($given:ident: $kind:ty),*) -> $answer:ty
            = $ask:ident($operation:literal, [$($part:expr),*], $($more:expr),+);
    )+) => {
        impl $client {$(
            $(#[$about])*
            ///
            /// # Errors
            /// See [`ClientError`](crate::ClientError).
            pub async fn $name(&self $(, $given: $kind)*) -> Result<$answer, $crate::ClientError> {
                self.$ask($operation, &[$($part),*], $($more),+).await
            }
        )+}
    };
}

pub(crate) use calls;
