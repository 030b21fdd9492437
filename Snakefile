# The graph of the series: one rule for each stage of helpers/series/stages.py, and one for the report.
# `osemn run` calls this; by hand:
#   snakemake --cores 2 --nolock --rerun-incomplete --config dataset=mnist profile=quick
from helpers.cli import cluster, graph
from helpers.series import records

request = graph.Request.from_config(config)
# A job on another machine must not repair the stages that run beside it.
steps = graph.steps(request, refresh=workflow.is_main_process)
# On another machine, the output of a stage goes to its log; here it goes to the terminal.
into = "" if workflow.is_main_process else " > {log:q} 2>&1"


def cores(step):
    shared = workflow.local_exec and not cluster.GPU.exists()
    return step.cores(workflow.cores or records.usable_cores(), shared=shared)


rule all:
    input:
        [step.marker for step in steps],
    default_target: True


for step in steps:

    rule:
        name:
            step.name
        input:
            step.inputs,
        output:
            touch(step.marker),
        log:
            step.log,
        priority: step.priority
        threads: lambda wildcards, step=step: cores(step)
        resources:
            mem_mb=step.memory_mb,
        params:
            # a function, because Snakemake takes braces in a string for wildcards
            command=lambda wildcards, command=step.command: command,
        shell:
            "{params.command}" + into
