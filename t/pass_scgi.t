use SmartTest 'no_plan';
use SmartProtocol;

# scgi_pass: what hedge_basic.t shows for HTTP, and what differs

SmartProtocol->cases('scgi');

run_tests();
