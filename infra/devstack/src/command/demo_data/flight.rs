//! A row of `flights.csv` as an event. Pure.

use csv::StringRecord;
use serde_json::{Map, Value, json};

/// Columns that are text; all others except the event's own are numbers.
const TEXT_COLUMNS: [&str; 2] = ["origin", "dest"];
/// Columns that become fields of the event instead of metadata.
const EVENT_COLUMNS: [&str; 3] = ["carrier", "tailnum", "time_hour"];
const MISSING: &str = "NA";

/// Makes an event of one row, or says which column is wrong.
pub(super) fn event(header: &StringRecord, row: &StringRecord) -> Result<Value, String> {
    let column = |name: &str| {
        let index = header.iter().position(|each| each == name);
        index
            .and_then(|index| row.get(index))
            .ok_or_else(|| format!("no column {name}"))
    };
    let (time_hour, carrier) = (column("time_hour")?, column("carrier")?);
    let mut metadata = Map::new();
    for (name, text) in header.iter().zip(row) {
        if EVENT_COLUMNS.contains(&name) {
            continue;
        }
        if let Some(value) = typed(name, text)? {
            metadata.insert(name.to_owned(), value);
        }
    }
    Ok(json!({
        "eventId": event_id(time_hour, carrier, column("flight")?),
        "eventType": carrier,
        "userId": user_id(column("tailnum")?),
        "timestamp": time_hour,
        "metadata": metadata,
    }))
}

/// The three columns that are unique together.
fn event_id(time_hour: &str, carrier: &str, flight: &str) -> String {
    format!("{time_hour}-{carrier}-{flight}")
}

fn user_id(tailnum: &str) -> &str {
    if tailnum == MISSING {
        "unknown"
    } else {
        tailnum
    }
}

/// The value in its column's type; none where the file has `NA`.
fn typed(column: &str, text: &str) -> Result<Option<Value>, String> {
    if text == MISSING {
        return Ok(None);
    }
    if TEXT_COLUMNS.contains(&column) {
        return Ok(Some(Value::from(text)));
    }
    if let Ok(number) = text.parse::<i64>() {
        return Ok(Some(Value::from(number)));
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Some(Value::from(number))),
        _ => Err(format!("column {column} is not a number: {text:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "year,dep_time,arr_delay,carrier,flight,tailnum,origin,dest,time_hour";

    fn split(line: &str) -> StringRecord {
        line.split(',').collect()
    }

    #[test]
    fn a_row_becomes_an_event_with_typed_metadata() {
        let row = split("2013,517,-11,UA,1545,N14228,EWR,IAH,2013-01-01T10:00:00Z");
        assert_eq!(
            event(&split(HEADER), &row).unwrap(),
            json!({
                "eventId": "2013-01-01T10:00:00Z-UA-1545",
                "eventType": "UA",
                "userId": "N14228",
                "timestamp": "2013-01-01T10:00:00Z",
                "metadata": {"year": 2013, "dep_time": 517, "arr_delay": -11, "flight": 1545,
                             "origin": "EWR", "dest": "IAH"},
            })
        );
    }

    #[test]
    fn a_cancelled_flight_without_a_plane_is_an_event_too() {
        let row = split("2013,NA,NA,AA,133,NA,JFK,LAX,2013-01-02T20:00:00Z");
        let event = event(&split(HEADER), &row).unwrap();
        assert_eq!(event["userId"], "unknown");
        let metadata = json!({"year": 2013, "flight": 133, "origin": "JFK", "dest": "LAX"});
        assert_eq!(event["metadata"], metadata);
    }

    #[test]
    fn ids_are_built_from_the_three_columns_that_are_unique_together() {
        for (time_hour, carrier, flight, id) in [
            (
                "2013-01-01T10:00:00Z",
                "UA",
                "1545",
                "2013-01-01T10:00:00Z-UA-1545",
            ),
            (
                "2013-12-31T23:00:00Z",
                "9E",
                "1",
                "2013-12-31T23:00:00Z-9E-1",
            ),
        ] {
            assert_eq!(event_id(time_hour, carrier, flight), id);
        }
    }

    #[test]
    fn values_have_the_type_of_their_column() {
        for (column, text, value) in [
            ("distance", "1400", Some(json!(1400))),
            ("dep_delay", "-4", Some(json!(-4))),
            ("air_time", "227.5", Some(json!(227.5))),
            ("air_time", "NA", None),
            ("origin", "EWR", Some(json!("EWR"))),
            ("dest", "NA", None),
        ] {
            assert_eq!(typed(column, text), Ok(value), "{column} {text}");
        }
        for text in ["", "x", "nan", "1e999"] {
            assert!(typed("distance", text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_row_that_lacks_a_column_is_refused() {
        assert!(event(&split("carrier,flight"), &split("UA,1")).is_err());
        assert!(event(&split(HEADER), &split("2013,517")).is_err());
    }
}
