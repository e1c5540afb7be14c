//! Puts pages together (ESI): how a template comes, whether it has anything to be put in, and what its head says then.
//! What a page is made of is `page.rs`, how it is sent `outbox.rs`, what fragment a place gets `fragment.rs`.

use crate::answer::{self, Manner};
use crate::asked::Asked;
use crate::deliver::{self, Sent, keeping, next_piece, to_visitor};
use crate::exchange::Exchange;
use crate::fragment::{Around, Chain};
use crate::outbox::Outbox;
use crate::page::{Content, Held, Page};
use crate::status;
use crate::stop::Stop;
use crate::stream::{Stream, collect};
use crate::tags::is_for_caches;
use crate::template::{self, Kept, PAGE_BYTES_MAX, browser_seconds, plan_of};
use crate::thread::Scratch;
use crate::visit::Visit;
use bytes::Bytes;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;
use tentpole_cache::{FillReader, Object};
use tentpole_esi::Plan;
use tentpole_http1::{self as http1, Framing};
use tentpole_message::Field;
use tentpole_model::{AssemblyFault, CacheOutcome, Side};

impl Visit<'_> {
    /// Delivers a stored page with its fragments.
    pub(crate) async fn assemble_object(
        &mut self,
        object: &Arc<Object>,
        plan: &Plan,
        own_lines: &[u8],
        asked: Asked,
    ) -> Result<Sent, Stop> {
        let around = self.around();
        let content = Content::Object(object.clone());
        let page = self.begins(&around, content, plan);
        self.send_page(&around, page, object.lines(), own_lines, Some(object), Kept::Asking, asked).await
    }

    /// Delivers a page that is arriving, once it is whole: what it includes is known only then.
    pub(crate) async fn assemble_reader(
        &mut self,
        reader: FillReader,
        own_lines: &[u8],
        cache: CacheOutcome,
        asked: Asked,
    ) -> Result<Sent, Stop> {
        let head = reader.head().clone();
        let age = reader.facts().age(asked.now);
        let mut stream = Stream::Fill(reader);
        let (chunks, is_whole) = collect(&mut stream, PAGE_BYTES_MAX).await.map_err(Stop::Failed)?;
        if let Stream::Fill(reader) = &stream
            && let Some(object) = reader.whole()
        {
            let object = object.clone();
            return self.deliver_object(&object, own_lines, cache, &asked).await;
        }
        if let Some(plan) = self.plan(&chunks, is_whole) {
            let around = self.around();
            let page = self.begins(&around, Content::Chunks { chunks, _held: self.held(0) }, &plan);
            return self.send_page(&around, page, &head.lines, own_lines, None, Kept::Asking, asked).await;
        }
        let reply = self.reply(asked.now);
        let framing = framing_of(&chunks, is_whole, reply.manner);
        let manner = keeping(reply.manner, framing);
        let mut lines = head.lines.to_vec();
        lines.extend_from_slice(own_lines);
        if age > 0 {
            // Writing into a Vec cannot fail.
            let _ = write!(lines, "Age: {age}\r\n");
        }
        http1::write_framing(&mut lines, framing);
        status::write(&mut lines, &reply, None);
        answer::connection(&mut lines, manner);
        lines.extend_from_slice(b"\r\n");
        let mut outbox = Outbox::new(self.visitor, lines, framing, manner.head_only);
        outbox.put_all(chunks).await.map_err(Stop::Failed)?;
        outbox.put_rest(&mut stream).await.map_err(Stop::Failed)?;
        outbox.end(head.status, manner).await.map_err(Stop::Failed)
    }

    /// Delivers a page that is this visitor's alone, whose head is in the scratch.
    pub(crate) async fn assemble_exchange(
        &mut self,
        exchange: Box<Exchange>,
        asked: Asked,
    ) -> Result<Sent, Stop> {
        let mut exchange = exchange;
        match self.assembled_exchange(&mut exchange, asked).await {
            Ok(sent) => {
                if exchange.is_done() {
                    exchange.finish(self.thread);
                }
                Ok(sent)
            }
            Err(Stop::Failed(failure)) => {
                if failure.side == Side::Upstream && !exchange.is_done() {
                    exchange.source.failed();
                }
                Err(Stop::Failed(failure))
            }
            Err(stop) => Err(stop),
        }
    }

    async fn assembled_exchange(&mut self, exchange: &mut Exchange, asked: Asked) -> Result<Sent, Stop> {
        let status = self.scratch.response.status;
        self.why.status = status;
        let mut lines = Vec::new();
        http1::write_status_line(&mut lines, status, self.scratch.response.reason());
        let sends_tags = self.thread.sends_tags();
        let for_others = |field: Field<'_>| !sends_tags && is_for_caches(&field);
        http1::write_fields(&mut lines, &self.scratch.response.fields, for_others);
        let kept = Kept::of_own(&self.scratch.response);
        let around = self.around();
        if self.manner.head_only {
            let page = Page {
                content: Rc::new(Content::Chunks { chunks: Vec::new(), _held: self.held(0) }),
                slots: Vec::new(),
            };
            return self.send_page(&around, page, &lines, b"", None, kept, asked).await;
        }
        let (mut chunks, mut bytes) = (Vec::new(), 0);
        while bytes < PAGE_BYTES_MAX {
            let piece = next_piece(self.visitor, exchange, &mut self.body, false).await;
            let Some(chunk) = taken(exchange, piece.map_err(Stop::Failed)?) else { break };
            bytes += chunk.len() as u64;
            chunks.push(chunk);
        }
        let held = self.held(bytes);
        let is_whole = exchange.is_done();
        if let Some(plan) = self.plan(&chunks, is_whole) {
            let page = self.begins(&around, Content::Chunks { chunks, _held: held }, &plan);
            return self.send_page(&around, page, &lines, b"", None, kept, asked).await;
        }
        // As it came.
        let reply = self.reply(asked.now);
        let framing = framing_of(&chunks, is_whole, reply.manner);
        let manner = keeping(reply.manner, framing);
        let manner = Manner { keep_alive: manner.keep_alive && exchange.sending.is_none(), ..manner };
        let mut head = Vec::new();
        let reply = deliver::Reply { manner, ..reply };
        deliver::own_head(&mut head, &self.scratch.response, framing, reply);
        let mut outbox = Outbox::new(self.visitor, head, framing, manner.head_only);
        outbox.put_all(chunks).await.map_err(Stop::Failed)?;
        while !exchange.is_done() {
            outbox.flush(false).await.map_err(Stop::Failed)?;
            let piece = next_piece(outbox.visitor, exchange, &mut self.body, false).await;
            let piece = piece.map_err(|failure| Stop::Failed(outbox.broken(failure)))?;
            let Some(chunk) = taken(exchange, piece) else { break };
            outbox.put(chunk).await.map_err(Stop::Failed)?;
        }
        let sent = outbox.end(status, manner).await.map_err(Stop::Failed)?;
        Ok(Sent { keep_alive: sent.keep_alive && exchange.sending.is_none(), ..sent })
    }

    fn around(&self) -> Rc<Around> {
        let Scratch { request, via, .. } = &*self.scratch;
        Around::new(self.thread, self.thread.view(), request, self.came, via, self.rank.priority)
    }

    fn begins(&self, around: &Rc<Around>, content: Content, plan: &Plan) -> Page {
        if self.manner.head_only {
            return Page { content: Rc::new(content), slots: Vec::new() };
        }
        Page::begin(around, &Chain::page(self.scratch), content, plan)
    }

    fn held(&self, bytes: u64) -> Held {
        Held::new(self.thread.shared.ledger.clone(), bytes)
    }

    /// What the page is made of; `None` when it is sent as it came.
    fn plan(&mut self, chunks: &[Bytes], is_whole: bool) -> Option<Plan> {
        if !is_whole {
            self.why.assembly.fault = Some(AssemblyFault::PageTooLarge);
            return None;
        }
        plan_of(chunks).unwrap_or_else(|fault| {
            self.why.assembly.fault = Some(fault);
            None
        })
    }

    #[allow(clippy::too_many_arguments, reason = "what a page is made of, from three sources")]
    async fn send_page(
        &mut self,
        around: &Rc<Around>,
        page: Page,
        template: &[u8],
        own_lines: &[u8],
        stored: Option<&Arc<Object>>,
        otherwise: Kept,
        asked: Asked,
    ) -> Result<Sent, Stop> {
        let status = self.why.status;
        let reply = self.reply(asked.now);
        let at_hand = page.at_hand().filter(|_| !reply.manner.head_only);
        let (kept, objects) = match (stored, &at_hand) {
            (Some(object), Some(at_hand)) => {
                let pieces = at_hand.objects.iter().chain([object]);
                let seconds = pieces.map(|object| browser_seconds(object, asked.now)).min();
                (Kept::of_stored(seconds.unwrap_or(0)), at_hand.objects.as_slice())
            }
            _ => (otherwise, [].as_slice()),
        };
        let framing = match &at_hand {
            Some(at_hand) => Framing::Length(at_hand.bytes),
            None => to_visitor(Framing::Chunked, reply.manner),
        };
        let manner = keeping(reply.manner, framing);
        let mut head = Vec::with_capacity(template.len() + 256);
        template::write_head(&mut head, template, objects.iter().map(|object| &**object), kept);
        head.extend_from_slice(own_lines);
        http1::write_framing(&mut head, framing);
        let ttl = stored.map(|object| {
            i64::from(object.facts().lifetime)
                - i64::try_from(object.facts().age(asked.now)).unwrap_or(i64::MAX)
        });
        status::write(&mut head, &reply, ttl);
        answer::connection(&mut head, manner);
        head.extend_from_slice(b"\r\n");
        let mut outbox = Outbox::new(self.visitor, head, framing, manner.head_only);
        let sent = match outbox.put_page(around, page).await {
            Ok(()) => outbox.end(status, manner).await,
            Err(failure) => Err(failure),
        };
        self.why.assembly = around.tally();
        sent.map_err(Stop::Failed)
    }
}

/// A piece's bytes, taken out of the connection's buffer; `None` at the end.
fn taken(exchange: &mut Exchange, piece: Option<http1::Piece>) -> Option<Bytes> {
    let Some(http1::Piece::Data { skip, len }) = piece else { return None };
    let chunk = Bytes::copy_from_slice(&exchange.bytes()[skip..skip + len]);
    exchange.consume(skip + len);
    Some(chunk)
}

fn framing_of(chunks: &[Bytes], is_whole: bool, manner: Manner) -> Framing {
    if is_whole {
        return Framing::Length(chunks.iter().map(|chunk| chunk.len() as u64).sum());
    }
    to_visitor(Framing::Chunked, manner)
}
