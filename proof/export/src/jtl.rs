//! One line for each page load, as JMeter's listeners open it (CSV with a first line of names).
//!
//! `elapsed` is Tentpole's load time: from the moment at which the request was due, redirects included. `Latency` is from the
//! same moment to the first byte of the first response, with the time for the connection in it, as JMeter has it; 0 where no
//! response came. `Connect` is the time for connections, TLS included; 0 where a kept one was used.

use std::fmt::Write;
use tentpole_load::result::FailureCause;
use tentpole_load::samples::Sample;

/// The first line.
pub const NAMES: &str = "timeStamp,elapsed,label,responseCode,responseMessage,threadName,dataType,success,bytes,\
                         grpThreads,allThreads,Latency,Connect\n";

/// Appends a line. `names` are the steps', by number.
pub fn write(out: &mut String, sample: &Sample, names: &[String]) {
    let label = names.get(sample.step).map_or("", String::as_str);
    let (code, message) = match (sample.status, sample.failure) {
        (0, cause) => ("Non HTTP response code".to_owned(), cause.map_or("", FailureCause::words)),
        (status, None) => (status.to_string(), "OK"),
        (status, Some(cause)) => (status.to_string(), cause.words()),
    };
    let _ = writeln!(
        out,
        "{},{},{},{code},{},visitor {},text,{},{},{under_way},{under_way},{},{}",
        sample.due_unix_us / 1_000,
        sample.took.as_millis(),
        quoted(label),
        quoted(message),
        sample.visitor.saturating_add(1),
        sample.failure.is_none(),
        sample.bytes,
        sample.first_byte.unwrap_or_default().as_millis(),
        sample.connect.as_millis(),
        under_way = sample.under_way,
    );
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\"").replace(['\n', '\r'], " "))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_line_has_a_value_for_each_name() {
        let sample = Sample {
            due_unix_us: 1_700_000_000_123_456,
            took: Duration::from_micros(12_900),
            first_byte: Some(Duration::from_micros(9_800)),
            connect: Duration::from_micros(3_100),
            step: 1,
            visitor: 4,
            status: 503,
            bytes: 7,
            failure: Some(FailureCause::Status5xx),
            under_way: 9,
        };
        let mut out = String::new();
        write(&mut out, &sample, &["a".into(), "b, \"c\"".into()]);
        assert_eq!(out, "1700000000123,12,\"b, \"\"c\"\"\",503,status 5xx,visitor 5,text,false,7,9,9,9,3\n");
        assert_eq!(NAMES.split(',').count(), 13);
    }
}
