"""Progress bars that an interruption can't block."""

from tqdm import tqdm

# Without tqdm's monitor thread, which only redraws bars that are slow. SIGINT while a bar is drawn
# leaves tqdm's lock to it, and the end of the process would wait for the thread for ever.
tqdm.monitor_interval = 0

__all__ = ['tqdm']
