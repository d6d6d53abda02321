//! The bare handlers that rows 1 and 2 compare with: actix-web with nothing around it.
//! GET of any path is a constant body; PUT reads the body and answers 204.

use std::io::Write as _;
use std::net::TcpListener;
use std::time::Duration;

use actix_web::rt::System;
use actix_web::{App, HttpResponse, HttpServer, web};

use crate::{Failure, Outcome};

/// The constant body.
const BODY: &[u8] = &[b'v'; 100];

/// Serves on a free port of the loopback address until it is told to stop; says where.
pub(crate) fn serve(workers: usize) -> Outcome<()> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(Failure::at("binding"))?;
    let address = listener.local_addr().map_err(Failure::at("binding"))?;
    System::new().block_on(async {
        let server = HttpServer::new(|| {
            App::new()
                .route("/v1/{key}", web::get().to(get))
                .route("/v1/{key}", web::put().to(put))
        })
        .workers(workers)
        .keep_alive(Duration::from_secs(75))
        .listen(listener)
        .map_err(Failure::at("listening"))?
        .run();
        let mut out = std::io::stdout();
        writeln!(out, "listening {address}").map_err(Failure::at("standard output"))?;
        server.await.map_err(Failure::at("serving"))
    })
}

async fn get() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .body(BODY)
}

async fn put(body: web::Bytes) -> HttpResponse {
    drop(body);
    HttpResponse::NoContent().finish()
}
