//! The identity of an object in a request.

use crate::kind::Kind;

/// Kind, namespace and name. The namespace is empty for a cluster-scoped kind.
#[derive(Clone, Copy, Debug)]
pub struct ObjectName<'a> {
    pub kind: Kind,
    pub namespace: &'a str,
    pub name: &'a str,
}
