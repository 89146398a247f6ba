//! A way to a server that can fall silent, be cut, and be mended.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub struct Way {
    pub address: SocketAddr,
    server: String,
    task: JoinHandle<()>,
    silent: watch::Sender<bool>,
}

/// A cut connection: nothing listens at its beginning.
pub struct Cut {
    address: SocketAddr,
    server: String,
}

impl Way {
    /// The URL with a way's address in place of the server's; the part after the credentials and
    /// before the path is the address.
    pub async fn instead(url: &str) -> (Way, String) {
        let (credentials, rest) = url.split_once('@').expect("credentials in the URL");
        let (server, path) = rest.split_once('/').expect("a path in the URL");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let way = Way::over(listener, server.to_owned());
        let url = format!("{credentials}@{}/{path}", way.address);
        (way, url)
    }

    fn over(listener: TcpListener, server: String) -> Way {
        let address = listener.local_addr().unwrap();
        let inner = server.clone();
        let (silent, heard) = watch::channel(false);
        let task = tokio::spawn(async move {
            // Dropped with the task, and every connection with it.
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&inner).await.unwrap();
                let (asked, answered) = (heard.clone(), heard.clone());
                connections.spawn(async move {
                    let (questions, answers) = client.into_split();
                    let (replies, requests) = server.into_split();
                    tokio::select! {
                        () = carry(questions, requests, asked) => {}
                        () = carry(replies, answers, answered) => {}
                    }
                });
            }
        });
        Way { address, server, task, silent }
    }

    /// Takes everything from now on, and lets nothing through.
    pub fn fall_silent(&self) {
        self.silent.send_replace(true);
    }

    pub async fn cut(self) -> Cut {
        self.task.abort();
        let _ = self.task.await;
        Cut { address: self.address, server: self.server }
    }
}

impl Cut {
    pub async fn mend(self) -> Way {
        let listener = TcpListener::bind(self.address).await.unwrap();
        Way::over(listener, self.server)
    }
}

/// Carries bytes until one end is closed or the way falls silent; then neither end hears of it.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    silent: watch::Receiver<bool>,
) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if *silent.borrow() {
            std::future::pending::<()>().await;
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
