-- Statements in the custodians' own formats: sub-balances beside the aggregate, short positions, and
-- what the importer declared where a format is silent.

set local lock_timeout = '30s';
set local statement_timeout = '10min';

-- declared: canonical JSON; null where the file says it all
alter table recon.load_row add column format text collate "C";
alter table recon.load_row add column declared text;

-- The same bytes under another declaration (account, time, column map) say something else: a wrong
-- declaration can be put right. content_sha256 covers both.
-- squawk-ignore require-concurrent-index-deletion
drop index recon.load_row_file;
create unique index load_row_content on recon.load_row (kind, content_sha256) where kind <> 'registry';

-- A custodian may report a short position; it lowers what is there.
-- squawk-ignore ban-drop-constraint
alter table recon.position_row drop constraint position_row_quantity_check;

-- What of a position is not free. The position's quantity is the aggregate.
create table recon.encumbrance_row (
    load bigint not null,
    line integer not null,
    kind text collate "C" not null check (kind in ('lent', 'pledged', 'blocked', 'borrowed', 'not_available')),
    quantity numeric not null check (quantity > 0),
    primary key (load, line, kind),
    foreign key (load, line) references recon.position_row (load, line)
);
call recon.make_append_only('recon.encumbrance_row');

alter table recon.custody_row add column aggregate numeric;
alter table recon.custody_row add column encumbered numeric;

create or replace view recon.loads as
select load, kind, name, encode(sha256, 'hex') as sha256, rows, recorded_at, format, declared from recon.load_row;

create or replace view recon.positions as
select p.custodian, p.account, p.isin, p.quantity, p.basis, p.as_of, p.load, p.line,
       (select min(n.load) from recon.position_row n
        where n.custodian = p.custodian and n.account = p.account and n.basis = p.basis and n.as_of = p.as_of
          and n.load > p.load) as superseded_load,
       coalesce(e.quantity, 0) as encumbered,
       p.quantity - coalesce(e.quantity, 0) as available
from recon.position_row p
left join lateral (
    select sum(e.quantity) as quantity from recon.encumbrance_row e where e.load = p.load and e.line = p.line
) e on true;

create view recon.encumbrances as
select p.custodian, p.account, p.isin, e.kind, e.quantity, p.basis, p.as_of, p.load, p.line
from recon.encumbrance_row e join recon.position_row p using (load, line);

create or replace view recon.custody as
select r.run, c.symbol, c.custodian, c.account, c.shares, c.as_of, c.load, c.aggregate, c.encumbered
from recon.run_row r join recon.custody_row c on c.run = r.content_run;
