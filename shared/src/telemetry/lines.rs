//! Log lines that say which request they are part of.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use crate::request::RequestId;

/// Lines of `F`, which say also which request they are part of.
#[derive(Debug)]
pub(super) struct Lines<F>(pub(super) F);

impl<S, N, F> FormatEvent<S, N> for Lines<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(request) = RequestId::current() else {
            return self.0.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.0
            .format_event(context, Writer::new(&mut line), event)?;
        let names = [
            ("request_id", Some(request.id())),
            ("trace_id", request.trace_id().map(Into::into)),
        ];
        let names = names
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        // What may stand in them needs no escapes.
        if let Some(rest) = line.strip_prefix('{') {
            writer.write_char('{')?;
            for (name, value) in names {
                write!(writer, r#""{name}":"{value}","#)?;
            }
            return writer.write_str(rest);
        }
        writer.write_str(line.trim_end_matches('\n'))?;
        for (name, value) in names {
            write!(writer, " {name}={value}")?;
        }
        writer.write_char('\n')
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing_subscriber::EnvFilter;

    use super::*;
    use crate::config::{LogFormat, LogLevel, Value as _};
    use crate::telemetry::subscriber;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn asked(id: &str, traceparent: &str) -> RequestId {
        let headers = [("x-request-id", id), ("traceparent", traceparent)];
        let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        RequestId::of(&headers.into_iter().collect())
    }

    fn logged(format: LogFormat, request: &RequestId) -> String {
        let log = Log::default();
        let to = log.clone();
        let level = LogLevel::parse("warn").unwrap();
        let (subscriber, set_filter) = subscriber(&level, format, move || to.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("too early");
            set_filter(EnvFilter::new("info"));
            request.during(|| tracing::info!(found = 3, "looked"));
            tracing::info!("by itself");
        });
        let log = log.0.lock();
        String::from_utf8(log.clone()).unwrap()
    }

    #[test]
    fn lines_in_a_request_say_which() {
        let log = logged(LogFormat::Json, &asked("r-1", TRACE));
        let lines: Vec<serde_json::Value> = log
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines[0]["request_id"], "r-1");
        assert_eq!(lines[0]["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(
            (&lines[0]["message"], &lines[0]["found"]),
            (&"looked".into(), &3.into())
        );
        assert!(lines[1].get("request_id").is_none());

        let log = logged(LogFormat::Pretty, &asked("r-2", ""));
        let lines: Vec<&str> = log.lines().collect();
        assert!(lines[0].ends_with("looked found=3 request_id=r-2"), "{log}");
        assert!(lines[1].ends_with("by itself"), "{log}");
    }
}
