"""The demo: a whole change on a busy table in a throw-away PostgreSQL, with a report that counts what went wrong."""

from osc.demo.options import DemoOptions
from osc.demo.report import DemoReport
from osc.demo.run import run_demo

__all__ = ["DemoOptions", "DemoReport", "run_demo"]
