"""What any receiver of RTP keeps: which packets are missing, and the figures of its receiver reports."""

from hushroom_common.reception.missing import Arrival, MissingPackets, NackRound
from hushroom_common.reception.statistics import ReceptionStatistics

__all__ = ["Arrival", "MissingPackets", "NackRound", "ReceptionStatistics"]
