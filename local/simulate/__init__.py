"""Simulated years of the real handler: time, Lambda, vendor, Secrets Manager and people all come from one seed.

`engine` is time, `rates` says how often each fault happens, and `plan` what happens when. `aws_secrets` and `network`
are the two services in this process, `host` is where a process of the function lives, `runtime` is Lambda, `people` and
`consumers` are who uses it. `year` puts them together, `invariants` says what must hold meanwhile, and `figures` what
came of it. `once` saves work that the handler does again at each run, `real_clients` plays the same year over real
clients and without that. `study` plays many years, some with a mechanism taken out (`ablations`) or with what others
would write (`naive`), and days of `many_connections`. `availability` is the years' mean and how sure that is,
`study_report` prints all of it, `results_file` keeps what `study_plots` draws.
"""
