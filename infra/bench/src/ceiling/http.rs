//! EVP's connection loop answering `202` to everything, under the load of single events.

use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use evp_devstack::{Output, Service, ServiceSpec, free_port};
use evp_shared::clock::Clock;
use evp_shared::http::server::{RequestBody, ServerLimits, serve};
use evp_shared::shutdown::Shutdown;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tokio::net::TcpListener;

use crate::figures::Figures;
use crate::load::client;
use crate::load::{GeneratorSpec, Load, millis};
use crate::measure::process::Usage;
use crate::run::generate;

const CONNECTIONS: u16 = 128;
const ANSWER: &[u8] = b"{\"accepted\":1,\"duplicates\":0,\"rejected\":[]}";
const LEAD: Duration = Duration::from_millis(1_500);
const READY_WITHIN: Duration = Duration::from_secs(10);
const READY_POLL: Duration = Duration::from_millis(20);

/// Serves on `port` until the process is killed.
///
/// # Errors
/// The port is taken.
pub async fn serve_null(port: u16) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let limits = ServerLimits::named("null");
    serve(listener, limits, answer, Shutdown::new(), Duration::ZERO).await;
    Ok(())
}

async fn answer(request: Request<RequestBody>) -> Response<Full<Bytes>> {
    let body = request.into_body().collect().await;
    let mut response = Response::new(Full::new(Bytes::from_static(ANSWER)));
    *response.status_mut() = match body {
        Ok(_) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::BAD_REQUEST,
    };
    let json = HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, json);
    response
}

/// Measures requests per second on 128 connections in a closed loop.
///
/// # Errors
/// The server or the generator failed.
pub(super) async fn measure(measured: Duration) -> anyhow::Result<Figures> {
    let port = free_port()?;
    let spec = ServiceSpec::new("null-server", std::env::current_exe()?)
        .args(["null-server".to_owned(), port.to_string()])
        .output(Output::Discarded);
    let server = Service::start(spec)?;
    ready(port).await?;
    let clock = Clock::system();
    let warmup = Duration::from_secs(1);
    let start = clock.now() + LEAD;
    let spec = GeneratorSpec {
        load: Load::closed(CONNECTIONS),
        port,
        keys: Vec::new(),
        authority: None,
        start_at_ms: clock.now_ms() + millis(LEAD),
        warmup_ms: millis(warmup),
        measured_ms: millis(measured),
        patience_ms: 5_000,
    };
    let usage = async {
        let pid = server.pid().unwrap_or_default();
        tokio::time::sleep_until((start + warmup).into()).await;
        let before = Usage::of(pid)?;
        tokio::time::sleep_until((start + warmup + measured).into()).await;
        anyhow::Ok(Usage::of(pid)?.cpu_s - before.cpu_s)
    };
    let (report, server_cpu_s) = futures::try_join!(generate(&spec), usage)?;
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 52 bits")]
    let requests = report.measured_accepted as f64;
    let cost = |cpu_s: f64| cpu_s * 1e6 / requests.max(1.0);
    Ok(Figures::from([
        ("events_per_s".to_owned(), requests / measured.as_secs_f64()),
        ("cpu_client".to_owned(), cost(report.cpu_s)),
        ("cpu_server".to_owned(), cost(server_cpu_s)),
        ("answer_p99_ms".to_owned(), report.answer.p99),
    ]))
}

async fn ready(port: u16) -> anyhow::Result<()> {
    let polling = async {
        while client::get(port, "/").await.is_err() {
            tokio::time::sleep(READY_POLL).await;
        }
    };
    Ok(tokio::time::timeout(READY_WITHIN, polling).await?)
}
