//! What the rules W1 to W5 say about any octets that come as a message, found out from the octets alone: nothing of the
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
    /// A header alone, with this response code.
    Refused(u8),
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
    // W3: "a packet with QR=1 or shorter than a header is dropped".
    if message.len() < HEADER || message[2] & 0x80 != 0 {
        return Expected::Dropped;
    }
    if message[2] & 0x78 != 0 {
        return Expected::Refused(NOTIMP);
    }
    if message[4..6] != [0, 1] {
        return Expected::Refused(FORMERR);
    }
    answered(message).map_or(Expected::Refused(FORMERR), Expected::Answered)
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
            // W1: "two OPTs → FORMERR"; RFC 6891 section 6.1.2: the owner is the root.
            if answered.payload.is_some() || !record.is_root {
                return None;
            }
            answered.payload = Some(record.class);
            answered.is_doubtful |= !record.has_plain_options;
            if record.ttl[1] != 0 {
                answered.rcodes = &[BADVERS_LOW];
                answered.rcode_high = BADVERS_HIGH;
            }
        }
    }
    Some(answered)
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
    /// Every option is whole, and none of them is one whose content somebody may judge.
    has_plain_options: bool,
    end: usize,
}

fn record(message: &[u8], start: usize) -> Option<Record> {
    const JUDGED_OPTIONS: [u16; 2] = [3, 8];
    let owner_end = name_end(message, start)?;
    let fixed: [u8; 10] = message.get(owner_end..owner_end + 10)?.try_into().ok()?;
    let data_start = owner_end + 10;
    let end = data_start + usize::from(number(&fixed, 8)?);
    let mut options = message.get(data_start..end)?;
    let mut has_plain_options = true;
    while !options.is_empty() && has_plain_options {
        let next = number(options, 2).and_then(|length| options.get(4 + usize::from(length)..));
        has_plain_options = next.is_some() && number(options, 0).is_some_and(|code| !JUDGED_OPTIONS.contains(&code));
        options = next.unwrap_or_default();
    }
    Some(Record {
        rr_type: number(&fixed, 0)?,
        class: number(&fixed, 2)?,
        ttl: fixed[4..8].try_into().ok()?,
        is_root: message[start] == 0,
        has_plain_options,
        end,
    })
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
        (Expected::Refused(rcode), Some(answer)) => check_refused(message, *rcode, answer),
        (Expected::Answered(Answered { is_doubtful: true, .. }), Some(answer)) if answer.len() == HEADER => {
            check_refused(message, FORMERR, answer)
        }
        (Expected::Answered(answered), Some(answer)) => check_answered(message, answered, is_datagram, answer),
        _ => Err("answered or dropped, and should not have been".to_owned()),
    }
    .map_err(|problem| {
        format!("{problem}\n  expected {expected:?}\n  message  {message:02x?}\n  answer   {answer:02x?}")
    })
}

fn check_refused(message: &[u8], rcode: u8, answer: &[u8]) -> Result<(), String> {
    hold(answer.len() == HEADER, "more or less than a header")?;
    hold(answer[4..] == [0; 8], "counts of what is not there")?;
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
