-- What a batch's rows hash to, part by part: what a report's bundle shows of it, and what it tells by digest alone.

set local lock_timeout = '30s';
set local statement_timeout = '1h';

-- Of each batch the lines that its content hash is over: table, mint (- where the table names none), SHA-256 of the
-- rows. A batch without a row here was hashed whole, by the rule of before. Derived from the rows, and audited.
create table ledger.content_row (
    batch bigint primary key references ledger.batch_row (batch) deferrable initially deferred,
    parts text not null
);
call ledger.make_append_only('ledger.content_row'::regclass);

create or replace view ledger.evidence as
select slot, tx_index, encoding, endpoint, sha256, body, octet_length(body) = 0 as detached, batch
from ledger.evidence_row;
