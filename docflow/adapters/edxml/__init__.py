"""edXML (QCVN 102:2016 and its 2022 amendment) on the wire."""
