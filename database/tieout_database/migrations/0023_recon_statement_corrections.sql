-- A file has one date. Where the date that was declared with it was wrong, a person hands it in again under the
-- right one: what the earlier load said of that account no longer stands.

set local lock_timeout = '30s';
set local statement_timeout = '10min';

create table recon.statement_correction_row (
    load bigint not null references recon.load_row (load),
    corrected_load bigint not null references recon.load_row (load),
    custodian text collate "C" not null,
    account text collate "C" not null,
    primary key (corrected_load, custodian, account, load),
    check (corrected_load < load)
);
call recon.make_append_only('recon.statement_correction_row');

create view recon.statement_corrections as
select load, corrected_load, custodian, account from recon.statement_correction_row;

create or replace view recon.positions as
select p.custodian, p.account, p.isin, p.quantity, p.basis, p.as_of, p.load, p.line,
       least(
           (select min(n.load) from recon.position_row n
            where n.custodian = p.custodian and n.account = p.account and n.basis = p.basis and n.as_of = p.as_of
              and n.load > p.load),
           (select min(c.load) from recon.statement_correction_row c
            where c.corrected_load = p.load and c.custodian = p.custodian and c.account = p.account)
       ) as superseded_load,
       coalesce(e.quantity, 0) as encumbered,
       p.quantity - coalesce(e.quantity, 0) as available
from recon.position_row p
left join lateral (
    select sum(e.quantity) as quantity from recon.encumbrance_row e where e.load = p.load and e.line = p.line
) e on true;
