//! Ports, in the form that Services and EndpointSlices share.

use serde::Deserialize;

use super::tolerant::Field;
use crate::cluster::objects::{Port, Protocol, SlicePort, TargetPort};

/// A port of a Service or of a slice.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct RawPort {
    name: Field<String>,
    protocol: Field<RawProtocol>,
    port: Field<u16>,
    target_port: Field<RawTargetPort>,
}

/// Transport protocol of any port.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum RawProtocol {
    Tcp,
    Udp,
    Sctp,
}

impl From<RawProtocol> for Protocol {
    fn from(raw: RawProtocol) -> Self {
        match raw {
            RawProtocol::Tcp => Self::Tcp,
            RawProtocol::Udp => Self::Udp,
            RawProtocol::Sctp => Self::Sctp,
        }
    }
}

impl Field<RawProtocol> {
    /// TCP if the field is absent, which is the default of the API.
    pub fn or_tcp(self) -> Result<Protocol, String> {
        Ok(self.optional("protocol")?.map(Protocol::from).unwrap_or_default())
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum RawTargetPort {
    Number(u16),
    Name(String),
}

impl RawPort {
    pub fn read_service_port(self) -> Result<Port, String> {
        let port = self.port.required("port")?;
        let protocol = self.protocol.or_tcp()?;
        let target = match self.target_port.optional("targetPort")? {
            // The API writes zero for an unset number.
            None | Some(RawTargetPort::Number(0)) => TargetPort::Number(port),
            Some(RawTargetPort::Number(number)) => TargetPort::Number(number),
            Some(RawTargetPort::Name(name)) if name.is_empty() => TargetPort::Number(port),
            Some(RawTargetPort::Name(name)) => TargetPort::Name(name.into()),
        };
        Ok(Port { owner: owner(self.name, protocol)?, port, protocol, target })
    }

    /// None for a port without a number, which stands for all ports and has no SRV record.
    pub fn read_slice_port(self) -> Result<Option<SlicePort>, String> {
        let Some(port) = self.port.optional("port")? else { return Ok(None) };
        Ok(Some(SlicePort { owner: owner(self.name, self.protocol.or_tcp()?)?, port }))
    }
}

fn owner(name: Field<String>, protocol: Protocol) -> Result<Option<Box<[u8]>>, String> {
    protocol.owner(name.optional("name")?.as_deref())
}
