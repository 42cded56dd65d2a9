use SmartTest 'no_plan';
use SmartProtocol;

# uwsgi_pass: what hedge_basic.t shows for HTTP, and what differs

SmartProtocol->cases('uwsgi');

run_tests();
