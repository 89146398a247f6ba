//! The API with one more route, `/constant/{bytes}`: what its server does at best, for benchmarks.

use std::process::ExitCode;

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use actix_web::web::{self, Bytes, Path, ServiceConfig};
use api::ApiConfig;
use daemon::config::Sources;
use daemon::process::Failure;
use daemon::shutdown::Shutdown;

static CONSTANT: [u8; 1024 * 1024] = [b' '; 1024 * 1024];

fn constant(config: &mut ServiceConfig) {
    config.route("/constant/{bytes}", web::get().to(answer));
}

async fn answer(bytes: Path<usize>) -> HttpResponse {
    match CONSTANT.get(..*bytes) {
        Some(constant) => {
            HttpResponse::Ok().content_type(ContentType::json()).body(Bytes::from_static(constant))
        }
        None => HttpResponse::NotFound().finish(),
    }
}

async fn run() -> Result<(), Failure> {
    let config = ApiConfig::read(&Sources::load())?;
    let shutdown = Shutdown::install()?;
    let running = api::start_with(config, shutdown, constant).await?;
    running.stopped().await?;
    Ok(())
}

fn main() -> ExitCode {
    daemon::process::main("api", run())
}
