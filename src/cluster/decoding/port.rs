//! Ports, in the form that Services and EndpointSlices share.

use serde::Deserialize;

use super::protobuf::{Fields, FromValue, Value, message};
use super::text::Text;
use super::tolerant::{FOUND_STRING, Field};
use crate::cluster::objects::{Port, Protocol, SlicePort, TargetPort};

message! {
    /// A port of a Service or of a slice, whose numbers do not differ where both have the field: `ServicePort` of core/v1,
    /// `EndpointPort` of discovery.k8s.io/v1 (in which 4 is `appProtocol`, and not read).
    pub(super) struct RawPort<'a> {
        name: Text<'a> = 1 "name",
        protocol: RawProtocol = 2 "protocol",
        port: u16 = 3 "port",
        target_port: RawTargetPort<'a> = 4 "targetPort",
    }
}

/// Transport protocol of any port.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum RawProtocol {
    Tcp,
    Udp,
    Sctp,
}

impl<'a> FromValue<'a> for RawProtocol {
    fn read(_: Field<Self>, value: Value<'a>) -> Field<Self> {
        match value.text() {
            Some("") => Field::Absent,
            Some("TCP") => Field::Value(Self::Tcp),
            Some("UDP") => Field::Value(Self::Udp),
            Some("SCTP") => Field::Value(Self::Sctp),
            _ => Field::Malformed(FOUND_STRING),
        }
    }
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

/// A number, or the name of a port of the Pod.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, bound(deserialize = "'de: 'a"))]
enum RawTargetPort<'a> {
    Number(u16),
    Name(Text<'a>),
}

impl<'a> FromValue<'a> for RawTargetPort<'a> {
    /// `IntOrString` in `apimachinery/pkg/util/intstr`: field 1 is the type, 2 the number, 3 the text.
    fn read(_: Field<Self>, value: Value<'a>) -> Field<Self> {
        let Value::Octets(octets) = value else { return Field::Malformed("a number") };
        let (mut is_text, mut number, mut name) = (false, Field::Value(0), Field::Value(Text::default()));
        for field in Fields::new(octets) {
            match field {
                Ok((1, kind)) => is_text = kind != Value::Number(0),
                Ok((2, value)) => number.merge(value),
                Ok((3, Value::Octets([]))) => {}
                Ok((3, value)) => name.merge(value),
                Ok(_) => {}
                Err(_) => return Field::Malformed("not a message"),
            }
        }
        if is_text { name.map(Self::Name) } else { number.map(Self::Number) }
    }
}

impl RawPort<'_> {
    pub fn read_service_port(self) -> Result<Port, String> {
        let port = self.port.required("port")?;
        let protocol = self.protocol.or_tcp()?;
        let target = match self.target_port.optional("targetPort")? {
            // The API writes zero for an unset number.
            None | Some(RawTargetPort::Number(0)) => TargetPort::Number(port),
            Some(RawTargetPort::Number(number)) => TargetPort::Number(number),
            Some(RawTargetPort::Name(name)) if name.is_empty() => TargetPort::Number(port),
            Some(RawTargetPort::Name(name)) => TargetPort::Name(name.as_ref().into()),
        };
        Ok(Port { owner: owner(self.name, protocol)?, port, protocol, target })
    }

    /// None for a port without a number, which stands for all ports and has no SRV record.
    pub fn read_slice_port(self) -> Result<Option<SlicePort>, String> {
        let Some(port) = self.port.optional("port")? else { return Ok(None) };
        Ok(Some(SlicePort { owner: owner(self.name, self.protocol.or_tcp()?)?, port }))
    }
}

fn owner(name: Field<Text<'_>>, protocol: Protocol) -> Result<Option<Box<[u8]>>, String> {
    protocol.owner(name.optional("name")?.as_deref())
}
