//! What the rules W1 to W5 and W8 say about any octets that come as a message, found out from the octets alone: nothing of the
//! server's own code is used here, so that both can be held against each other. Shared with the fuzz targets.

/// The zones of the server that is judged, in wire form.
const ZONES: [&[u8]; 4] =
    [b"\x07cluster\x05local\x00", b"\x03k8s\x07example\x00", b"\x07in-addr\x04arpa\x00", b"\x03ip6\x04arpa\x00"];
/// Its EDNS payload size.
pub const EDNS_UDP_SIZE: u16 = 1232;

const HEADER: usize = 12;
const NOERROR: u8 = 0;
const FORMERR: u8 = 1;
const NXDOMAIN: u8 = 3;
const NOTIMP: u8 = 4;
const REFUSED: u8 = 5;
/// BADVERS is 16: these in the header, 1 in the OPT record.
const BADVERS_LOW: u8 = 0;
const BADVERS_HIGH: u8 = 1;
const OPT: u16 = 41;

/// What has to become of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// No answer at all.
    Dropped,
    /// A header with this response code, and an OPT record if the message has a sound one (W8).
    Refused { rcode: u8, has_opt: bool },
    /// An answer with the question in it.
    Answered(Answered),
}

/// What an answer has to look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The end of the question section, which is given back as it came.
    question_end: usize,
    /// Any of these response codes; AA goes with the first two of the DNS, NOERROR and NXDOMAIN.
    rcodes: &'static [u8],
    /// The upper bits of the response code.
    rcode_high: u8,
    /// The client's payload size, where it sent an OPT record.
    payload: Option<u16>,
    /// There are records that no rule speaks of (their data may be nonsense): FORMERR is right too.
    is_doubtful: bool,
}

/// Judges a message.
pub fn expected(message: &[u8]) -> Expected {
    // W3: a response, or less than a header, is dropped.
    if message.len() < HEADER || message[2] & 0x80 != 0 {
        return Expected::Dropped;
    }
    if message[2] & 0x78 != 0 {
        return refused(message, NOTIMP);
    }
    if message[4..6] != [0, 1] {
        return refused(message, FORMERR);
    }
    answered(message).map_or_else(|| refused(message, FORMERR), Expected::Answered)
}

fn refused(message: &[u8], rcode: u8) -> Expected {
    Expected::Refused { rcode, has_opt: has_sound_opt(message) == Some(true) }
}

/// Whether there is exactly one OPT record in the additional section, and that sound; None if the sections are not whole.
fn has_sound_opt(message: &[u8]) -> Option<bool> {
    let mut at = HEADER;
    for _ in 0..number(message, 4)? {
        at = name_end(message, at)? + 4;
    }
    let mut found = Vec::new();
    for (count, is_additional) in [(6, false), (8, false), (10, true)] {
        for _ in 0..number(message, count)? {
            let record = record(message, at)?;
            at = record.end;
            if is_additional && record.rr_type == OPT {
                found.push(record.is_root && record.has_whole_options);
            }
        }
    }
    (at <= message.len()).then_some(found == [true])
}

/// None for garbage.
fn answered(message: &[u8]) -> Option<Answered> {
    let (name, at) = question_name(message)?;
    let qtype = number(message, at)?;
    let class = number(message, at + 2)?;
    let question_end = at + 4;
    let mut answered = Answered {
        question_end,
        rcodes: rcodes(&name, qtype, class),
        rcode_high: 0,
        payload: None,
        is_doubtful: false,
    };
    let mut at = question_end;
    for (count, is_additional) in [(6, false), (8, false), (10, true)] {
        for _ in 0..number(message, count)? {
            let record = record(message, at)?;
            at = record.end;
            if record.rr_type != OPT || !is_additional {
                answered.is_doubtful = true;
                continue;
            }
            // W1: a second OPT record is FORMERR; RFC 6891 section 6.1.2: the owner is the root.
            if answered.payload.is_some() || !record.is_root {
                return None;
            }
            answered.payload = Some(record.class);
            if !record.has_sound_subnets {
                return None;
            }
            answered.is_doubtful |= !record.has_whole_options;
            if record.ttl[1] != 0 {
                answered.rcodes = &[BADVERS_LOW];
                answered.rcode_high = BADVERS_HIGH;
            }
        }
    }
    // W8: octets behind the last record are FORMERR.
    (at == message.len()).then_some(answered)
}

/// The codes that the authority may answer a question with.
fn rcodes(name: &[u8], qtype: u16, class: u16) -> &'static [u8] {
    const IN: u16 = 1;
    const TRANSFERS: [u16; 2] = [251, 252];
    let is_ours = ZONES.iter().any(|zone| {
        let labels = label_starts(name);
        labels.into_iter().any(|start| name[start..] == **zone)
    });
    if class == IN && is_ours && !TRANSFERS.contains(&qtype) { &[NOERROR, NXDOMAIN] } else { &[REFUSED] }
}

fn label_starts(name: &[u8]) -> Vec<usize> {
    let mut starts = vec![0];
    while let Some(length) = starts.last().and_then(|last| name.get(*last)).filter(|length| **length > 0) {
        starts.push(starts[starts.len() - 1] + 1 + usize::from(*length));
    }
    starts
}

/// The question's name in lower case, and where it ends. There is nothing before it that it could point to.
fn question_name(message: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut at = HEADER;
    loop {
        let length = usize::from(*message.get(at)?);
        if length > 63 {
            return None;
        }
        at += 1 + length;
        if length == 0 {
            let name = message[HEADER..at].to_ascii_lowercase();
            return (name.len() <= 255).then_some((name, at));
        }
    }
}

struct Record {
    rr_type: u16,
    class: u16,
    ttl: [u8; 4],
    is_root: bool,
    has_whole_options: bool,
    /// The client subnets among them are well-formed (RFC 7871 section 6).
    has_sound_subnets: bool,
    end: usize,
}

fn record(message: &[u8], start: usize) -> Option<Record> {
    const CLIENT_SUBNET: u16 = 8;
    let owner_end = name_end(message, start)?;
    let fixed: [u8; 10] = message.get(owner_end..owner_end + 10)?.try_into().ok()?;
    let data_start = owner_end + 10;
    let end = data_start + usize::from(number(&fixed, 8)?);
    let mut options = message.get(data_start..end)?;
    let (mut has_whole_options, mut has_sound_subnets) = (true, true);
    while !options.is_empty() && has_whole_options {
        let data = number(options, 2).and_then(|length| options.get(4..4 + usize::from(length)));
        has_whole_options = data.is_some();
        let data = data.unwrap_or_default();
        has_sound_subnets &= !has_whole_options || number(options, 0) != Some(CLIENT_SUBNET) || is_subnet(data);
        options = options.get(4 + data.len()..).unwrap_or_default();
    }
    Some(Record {
        rr_type: number(&fixed, 0)?,
        class: number(&fixed, 2)?,
        ttl: fixed[4..8].try_into().ok()?,
        is_root: message[start] == 0,
        has_whole_options,
        has_sound_subnets,
        end,
    })
}

fn is_subnet(data: &[u8]) -> bool {
    let octets = data.get(2).map_or(usize::MAX, |bits| usize::from(*bits).div_ceil(8));
    let most = match number(data, 0) {
        Some(1) => 4,
        Some(2) => 16,
        _ => return false,
    };
    octets <= most && data.len() >= 4 + octets
}

/// Where a name ends that may be compressed. Whether its pointer leads to a sensible name is not looked at.
fn name_end(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            0xc0.. => return message.get(at + 1).map(|_| at + 2),
            _ => return None,
        }
    }
}

fn number(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*octets.get(at)?, *octets.get(at + 1)?]))
}

/// Holds what became of a message against what should have.
///
/// # Errors
/// What is wrong.
pub fn check(message: &[u8], is_datagram: bool, answer: Option<&[u8]>) -> Result<(), String> {
    let expected = expected(message);
    match (&expected, answer) {
        (Expected::Dropped, None) => Ok(()),
        (Expected::Refused { rcode, has_opt }, Some(answer)) => check_refused(message, *rcode, *has_opt, answer),
        (Expected::Answered(Answered { is_doubtful: true, .. }), Some(answer)) if answer.get(4..6) == Some(&[0, 0]) => {
            check_refused(message, FORMERR, has_sound_opt(message) == Some(true), answer)
        }
        (Expected::Answered(answered), Some(answer)) => check_answered(message, answered, is_datagram, answer),
        _ => Err("answered or dropped, and should not have been".to_owned()),
    }
    .map_err(|problem| {
        format!("{problem}\n  expected {expected:?}\n  message  {message:02x?}\n  answer   {answer:02x?}")
    })
}

fn check_refused(message: &[u8], rcode: u8, has_opt: bool, answer: &[u8]) -> Result<(), String> {
    hold(answer.len() >= HEADER, "less than a header")?;
    hold(answer[4..HEADER] == [0, 0, 0, 0, 0, 0, 0, u8::from(has_opt)], "the counts: an OPT record iff asked (W8)")?;
    hold(check_records(answer, HEADER)?.is_some() == has_opt, "an OPT record")?;
    check_header(message, answer)?;
    hold(answer[2] & 0x7e == message[2] & 0x78, "the opcode, AA or TC")?;
    hold(answer[3] & 0x0f == rcode, "the response code")
}

fn check_header(message: &[u8], answer: &[u8]) -> Result<(), String> {
    hold(answer[..2] == message[..2], "the ID")?;
    hold(answer[2] & 0x80 != 0, "QR")?;
    hold(answer[2] & 0x01 == message[2] & 0x01, "RD is the client's")?;
    hold(answer[3] & 0xf0 == message[3] & 0x10, "CD is the client's; RA, Z and AD are not set")
}

fn check_answered(message: &[u8], answered: &Answered, is_datagram: bool, answer: &[u8]) -> Result<(), String> {
    let limit = match answered.payload {
        _ if !is_datagram => u16::MAX,
        Some(payload) => payload.clamp(512, EDNS_UDP_SIZE),
        None => 512,
    };
    hold(answer.len() >= HEADER, "less than a header")?;
    hold(answer.len() <= usize::from(limit), "longer than the client takes (W2)")?;
    check_header(message, answer)?;
    let rcode = answer[3] & 0x0f;
    hold(answered.rcodes.contains(&rcode), "the response code")?;
    let has_authority = answered.rcode_high == 0 && rcode != REFUSED;
    hold(answer[2] & 0x04 != 0 || !has_authority, "AA on every answer from the zone (R8)")?;
    hold(answer[2] & 0x04 == 0 || has_authority, "AA on an answer from elsewhere")?;
    hold(answer[4..6] == [0, 1], "QDCOUNT")?;
    let question = &message[HEADER..answered.question_end];
    hold(answer.get(HEADER..answered.question_end) == Some(question), "the question as it was asked (S19)")?;
    let opt = check_records(answer, answered.question_end)?;
    hold(opt.is_some() == answered.payload.is_some(), "an OPT record iff there was one (W1)")?;
    hold(opt.unwrap_or_default()[0] == answered.rcode_high, "the upper bits of the response code")
}

/// Walks over all records of an answer; gives the TTL field of its OPT record.
fn check_records(answer: &[u8], mut at: usize) -> Result<Option<[u8; 4]>, String> {
    let mut opt = None;
    for count in [6, 8, 10] {
        for _ in 0..number(answer, count).unwrap_or_default() {
            let record = record(answer, at).ok_or("a record that cannot be read")?;
            at = record.end;
            if record.rr_type == OPT {
                hold(opt.is_none() && count == 10 && record.is_root, "a second or misplaced OPT record")?;
                hold(record.class == EDNS_UDP_SIZE, "our payload size")?;
                opt = Some(record.ttl);
            }
        }
    }
    hold(at == answer.len(), "octets behind the records")?;
    Ok(opt)
}

fn hold(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}
