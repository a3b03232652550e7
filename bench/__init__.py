"""`make bench`: what a tick and a sweep take, next to simpler functions, and what a month costs.

What is measured:
  artifacts         the packages that are compared, each as a folder and as a zip
  naive/, nothing/  the functions in the packages that are not ours
  worlds            the emulated worlds in which they run
  tools             the Python, the RIE and the runtime client that run them
  processes         one cold start: its CPU time, its time on the clock and its memory
  drive             runs in a bare process, in place of Lambda's runtime client
  meter             counts the HTTP between a package and the emulators
  rounds            runs all packages in turns
  sweeps            runs sweeps of many connections in turns
  trust             what reading the trusted certificates takes

What is made of it:
  spread            ratios of pairs, and whether they meet a target
  cost              what Lambda bills, and what a month costs, by the prices in prices.json
  growth            the same for many stacks
  scale             the same for many connections in one deployment
  performance_page  the tables
  scale_page        the tables of many connections
  __main__          the command

Commands of their own:
  consumer_reads    cached reads of the token, by our reader and by others
  handshake         the CPU time of a TLS handshake
  bombs             the peak of memory with answers that are too large
"""
