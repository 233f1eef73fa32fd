//! A few fields of a few hashes of a Redis server, over its unix socket, through the `redis` crate.
//! Writes nothing. Of what comes only what a switch has is taken.

use std::time::Duration;

use anyhow::{Context as _, Error, Result, anyhow, ensure};
use redis::{
    Client, Cmd, Connection, ConnectionAddr, FromRedisValue, IntoConnectionInfo as _,
    RedisConnectionInfo, RedisError, RedisResult,
};

use crate::text::clean;

/// No field or key that is asked for is longer; a longer one is not what it should be.
const FIELD_BYTES: usize = 256;
/// A switch has some thirty features.
const MAX_KEYS: usize = 1000;

/// A connection to one database of a server.
pub struct Redis {
    connection: Connection,
    socket: String,
}

impl Redis {
    /// Connects to a database. With a limit, no read or write takes longer; without one, the caller
    /// sees to it.
    ///
    /// # Errors
    /// The server cannot be reached, or does not have that database.
    pub fn connect(socket: &str, database: u32, limit: Option<Duration>) -> Result<Self> {
        let connection = connection(socket, database, limit);
        Ok(Self {
            connection: connection.map_err(|error| failed(socket, &error))?,
            socket: socket.to_owned(),
        })
    }

    /// `HMGET key fields...`; none for a field that is not there.
    ///
    /// # Errors
    /// The server does not answer, or with something else.
    pub fn fields<const N: usize>(
        &mut self,
        key: &str,
        fields: [&str; N],
    ) -> Result<[Option<String>; N]> {
        let found: [Option<Vec<u8>>; N] = self.ask(redis::cmd("HMGET").arg(key).arg(&fields))?;
        let mut texts = [const { None }; N];
        for (text, bytes) in texts.iter_mut().zip(found) {
            *text = bytes.map(field).transpose()?;
        }
        Ok(texts)
    }

    /// `KEYS pattern`, in order.
    ///
    /// # Errors
    /// The server does not answer, or with something else, or has more keys than a table of a
    /// switch.
    pub fn keys(&mut self, pattern: &str) -> Result<Vec<String>> {
        let found: Vec<Vec<u8>> = self.ask(redis::cmd("KEYS").arg(pattern))?;
        ensure!(found.len() <= MAX_KEYS, "a table of {} keys", found.len());
        let mut keys = found.into_iter().map(field).collect::<Result<Vec<_>>>()?;
        keys.sort();
        Ok(keys)
    }

    fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T> {
        let answer = command.query(&mut self.connection);
        answer.map_err(|error| failed(&self.socket, &error))
    }
}

fn connection(socket: &str, database: u32, limit: Option<Duration>) -> RedisResult<Connection> {
    let settings = RedisConnectionInfo::default()
        .set_db(database.into())
        .set_skip_set_lib_name();
    let server = ConnectionAddr::Unix(socket.into()).into_connection_info()?;
    let client = Client::open(server.set_redis_settings(settings))?;
    let connection = match limit {
        Some(limit) => client.get_connection_with_timeout(limit)?,
        None => client.get_connection()?,
    };
    connection.set_read_timeout(limit)?;
    connection.set_write_timeout(limit)?;
    Ok(connection)
}

/// What the server or the way to it says of a failure, as one clean line.
fn failed(socket: &str, error: &RedisError) -> Error {
    anyhow!(clean(error.to_string()))
        .context(format!("failed to ask the Redis server at '{socket}'"))
}

fn field(bytes: Vec<u8>) -> Result<String> {
    ensure!(
        bytes.len() <= FIELD_BYTES,
        "a field of {} bytes",
        bytes.len()
    );
    String::from_utf8(bytes).context("a field is not text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_short_text() {
        assert_eq!(field(b"a\r\n".to_vec()).unwrap(), "a\r\n");
        let problem = |bytes: Vec<u8>| format!("{:#}", field(bytes).unwrap_err());
        assert_eq!(problem(vec![b'x'; 257]), "a field of 257 bytes");
        assert!(problem(vec![0xff]).starts_with("a field is not text"));
    }
}
