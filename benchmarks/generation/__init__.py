"""How fast texts are continued: a load tool for any server that speaks OpenAI's dialect, and what
our services take beside a bare loop of the same graphs and beside other servers."""
