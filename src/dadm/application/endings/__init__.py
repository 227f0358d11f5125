"""The end of threads: closed when their instances end, cleared afterwards, by one replica for all."""
