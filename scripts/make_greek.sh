#!/bin/sh
# Makes tests/data/greek.opus: 27 s of Greek by espeak-ng without a pause, whose text has more tokens than 224.
#
#     apt-get install espeak-ng ffmpeg; scripts/make_greek.sh
set -eu
out="$(dirname "$0")/../tests/data/greek.opus"
text="Το καλοκαίρι πηγαίνουμε πάντα στο νησί με το πλοίο της γραμμής. Η γιαγιά μου μαγειρεύει κάθε μέρα ψάρι και σαλάτα με \
ντομάτες. Το απόγευμα κολυμπάμε στη θάλασσα και παίζουμε στην παραλία με τους φίλους μας. Όταν νυχτώνει, καθόμαστε στην \
αυλή και ακούμε παλιές ιστορίες για τους ναυτικούς του χωριού. Ο παππούς λέει ότι ο καιρός αλλάζει και ότι σε λίγες μέρες \
θα φυσήξει δυνατός αέρας. Στο τέλος του Αυγούστου γυρίζουμε στην πόλη με το τρένο."
espeak-ng -v el -s 165 --stdout "$text" | ffmpeg -v error -y -i - -c:a libopus -b:a 20k "$out"
