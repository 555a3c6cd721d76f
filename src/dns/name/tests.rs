use super::*;

#[test]
fn a_name_is_lower_case_wire_form_and_prints_as_it_was_read() {
    let name = Name::parse("Pg.DB.svc.Cluster.Local").unwrap();
    assert_eq!(name.as_wire(), b"\x02pg\x02db\x03svc\x07cluster\x05local\x00");
    assert_eq!(name.to_string(), "pg.db.svc.cluster.local.");
    assert_eq!(Name::parse(".").unwrap().as_wire(), b"\0");
}

#[test]
fn a_text_that_is_no_name_is_refused_with_the_reason() {
    assert_eq!(Name::parse(""), Err(NameError::Empty));
    assert_eq!(Name::parse("a..b"), Err(NameError::EmptyLabel));
    assert_eq!(Name::parse("a b"), Err(NameError::Character("a b".to_owned())));
    assert_eq!(Name::parse(&"a".repeat(64)), Err(NameError::LongLabel("a".repeat(64))));
    assert_eq!(Name::parse(&["a".repeat(63).as_str(); 4].join(".")), Err(NameError::LongName));
}

/// S7.
#[test]
fn an_address_as_a_label_has_dashes_and_is_padded_where_one_would_stand_at_an_end() {
    for (address, label) in
        [("10.1.0.20", "10-1-0-20"), ("fd00::a", "fd00--a"), ("::1", "0--1"), ("fd00::", "fd00--0"), ("::", "0--0")]
    {
        assert_eq!(Label::of_address(address.parse().unwrap()).to_string(), label);
    }
}

#[test]
fn a_suffix_matches_at_a_label_boundary_only() {
    let zone = Name::parse("cluster.local").unwrap();
    let inside = Name::parse("db.svc.cluster.local").unwrap();
    assert_eq!(strip_suffix(inside.as_wire(), zone.as_wire()), Some(b"\x02db\x03svc".as_slice()));
    assert_eq!(strip_suffix(zone.as_wire(), zone.as_wire()), Some(b"".as_slice()));
    // The octets of `\x05local\0` stand at the end of this label too, but not as a label.
    let tricky = NameBuf::from_wire(b"\x07x\x05local\x00").unwrap();
    assert_eq!(strip_suffix(tricky.as_wire(), Name::parse("local").unwrap().as_wire()), None);
}

#[test]
fn a_wire_name_must_be_whole_and_uncompressed() {
    assert!(NameBuf::from_wire(b"").is_err());
    assert!(NameBuf::from_wire(b"\x02pg").is_err());
    assert!(NameBuf::from_wire(b"\x03pg\x00").is_err());
    assert!(NameBuf::from_wire(b"\xc0\x0c").is_err());
    assert!(NameBuf::from_wire(b"\x02pg\x00\x00").is_err());
    assert_eq!(NameBuf::from_wire(b"\x02PG\x00").unwrap().as_wire(), b"\x02pg\x00");
    assert_eq!(NameBuf::from_wire(b"\x00").unwrap().as_wire(), b"\x00");
}
