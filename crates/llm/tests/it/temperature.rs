use llm::Temperature;

#[test]
fn temperatures_are_hundredths() {
    for (text, hundredths) in [("0", 0), ("0.7", 70), ("1.25", 125), ("2.00", 200), ("0.05", 5)] {
        assert_eq!(text.parse().ok(), Temperature::from_hundredths(hundredths), "{text}");
    }
    assert_eq!(Temperature::from_hundredths(70).unwrap().to_string(), "0.70");
    assert_eq!(Temperature::from_hundredths(201), None);
}

#[test]
fn anything_else_is_refused() {
    for text in ["", "2.01", "3", "-1", "+1", "0.123", "1.", ".5", "1e0", "0,7", "nan", "0. 7", "١"]
    {
        assert!(text.parse::<Temperature>().is_err(), "{text:?}");
    }
}
