//! Calls as a table: parameters, answer, method and path of each.

/// Declares methods, each by a row: its name and parameters, its answer, and the request: the operation of
/// `docs/openapi.json`, the values for the names in its path, and its query or body.
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
