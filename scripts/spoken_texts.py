"""Sentences of everyday life in seven languages, our own: what `scripts/make_spoken.py` has spoken.

None of them is in `letter_texts.py`, by which the packaged classifiers of letters were trained.
"""

from __future__ import annotations

TEXTS: dict[str, str] = {
    "de": """Der Bäcker an der Ecke verkauft jeden Samstag frische Brötchen und süßen Kuchen.
    Meine Großmutter erzählt gerne Geschichten aus ihrer Kindheit auf dem Land.
    Im Sommer fahren viele Leute mit dem Fahrrad an den See und schwimmen dort.
    Der Lehrer schreibt eine lange Aufgabe an die Tafel, und alle Schüler stöhnen.
    Kannst du bitte das Fenster schließen, es wird langsam kalt hier drin.
    Die Katze schläft den ganzen Tag auf dem Sofa und wacht erst abends auf.
    Nach dem Essen gehen wir noch eine Stunde im Park spazieren.
    Mein Bruder arbeitet als Ingenieur in einer großen Fabrik bei München.
    Das Konzert war ausverkauft, aber wir haben trotzdem noch Karten bekommen.
    Die Ärztin sagt, dass er mehr Wasser trinken und besser schlafen soll.
    Auf dem Markt gibt es heute Äpfel, Kartoffeln und frischen Fisch.
    Sie hat ihren Schlüssel verloren und wartet jetzt vor der Tür.""",
    "es": """El panadero de la esquina vende todos los sábados pan fresco y pasteles.
    Mi abuela cuenta muchas historias de su infancia en el campo.
    En verano mucha gente va al lago para nadar y descansar.
    El profesor escribe una frase larga en la pizarra y los alumnos suspiran.
    Puedes cerrar la ventana, por favor, empieza a hacer frío aquí.
    El gato duerme todo el día en el sofá y se despierta por la noche.
    Después de comer paseamos una hora por el parque.
    Mi hermano trabaja como ingeniero en una fábrica grande cerca de Valencia.
    El concierto estaba lleno, pero encontramos entradas de todos modos.
    La doctora dice que debe beber más agua y dormir mejor.
    En el mercado hay hoy manzanas, patatas y pescado fresco.
    Ella ha perdido su llave y espera ahora delante de la puerta.""",
    "it": """Il fornaio all'angolo vende ogni sabato pane fresco e torte.
    Mia nonna racconta volentieri storie della sua infanzia in campagna.
    In estate molte persone vanno al lago per nuotare e riposare.
    Il professore scrive una frase lunga alla lavagna e gli studenti sospirano.
    Puoi chiudere la finestra, per favore, qui comincia a fare freddo.
    Il gatto dorme tutto il giorno sul divano e si sveglia la sera.
    Dopo pranzo camminiamo per un'ora nel parco vicino al fiume.
    Mio fratello lavora come ingegnere in una grande fabbrica a Torino.
    Il concerto era esaurito, ma abbiamo trovato lo stesso due biglietti.
    La dottoressa dice che deve bere più acqua e dormire meglio.
    Oggi al mercato ci sono mele, patate e pesce fresco.
    Lei ha perso la chiave e adesso aspetta davanti alla porta.""",
    "pt": """O padeiro da esquina vende todos os sábados pão fresco e bolos.
    Minha avó conta muitas histórias da sua infância no campo.
    No verão muita gente vai ao lago para nadar e descansar.
    O professor escreve uma frase longa no quadro e os alunos suspiram.
    Você pode fechar a porta, por favor, está começando a fazer frio aqui.
    O gato dorme o dia inteiro no sofá e só acorda de noite.
    Depois do almoço nós caminhamos uma hora pelo parque.
    Meu irmão trabalha como engenheiro numa fábrica grande perto do Porto.
    O concerto estava cheio, mas mesmo assim encontramos dois lugares.
    A médica diz que ele deve beber mais água e dormir melhor.
    Hoje no mercado há batatas, maçãs e peixe fresco.
    Ela perdeu a chave e agora espera na frente da casa.""",
    "nl": """De bakker op de hoek verkoopt elke zaterdag vers brood en taart.
    Mijn oma vertelt graag verhalen over haar jeugd op het land.
    In de zomer gaan veel mensen naar het meer om te zwemmen.
    De leraar schrijft een lange zin op het bord en iedereen zucht.
    Kun je het raam dichtdoen, het wordt hier langzaam koud.
    De kat slaapt de hele dag op de bank en wordt pas laat wakker.
    Na het eten wandelen we nog een uur door het park.
    Mijn broer werkt als ingenieur in een grote fabriek bij Eindhoven.
    Het concert was uitverkocht, maar we hebben toch nog kaartjes gekregen.
    De dokter zegt dat hij meer water moet drinken en beter moet slapen.
    Op de markt zijn er vandaag appels, aardappelen en verse vis.
    Zij heeft haar sleutel verloren en wacht nu voor de deur.""",
    "pl": """Piekarz na rogu sprzedaje w każdą sobotę świeży chleb i ciasto.
    Moja babcia chętnie opowiada historie ze swojego dzieciństwa na wsi.
    Latem wielu ludzi jeździ nad jezioro, żeby pływać i odpoczywać.
    Nauczyciel pisze długie zdanie na tablicy i wszyscy uczniowie wzdychają.
    Możesz zamknąć okno, proszę, bo robi się tutaj zimno.
    Kot śpi cały dzień na kanapie i budzi się dopiero wieczorem.
    Po obiedzie spacerujemy jeszcze godzinę po parku.
    Mój brat pracuje jako inżynier w dużej fabryce pod Warszawą.
    Koncert był wyprzedany, ale mimo to dostaliśmy dwa bilety.
    Lekarka mówi, że powinien pić więcej wody i lepiej spać.
    Na rynku są dzisiaj jabłka, ziemniaki i świeże ryby.
    Ona zgubiła swój klucz i czeka teraz przed drzwiami.""",
    "sv": """Bagaren på hörnet säljer varje lördag färskt bröd och kakor.
    Min mormor berättar gärna historier från sin barndom på landet.
    På sommaren åker många människor till sjön för att bada.
    Läraren skriver en lång mening på tavlan och alla elever suckar.
    Kan du stänga fönstret, det börjar bli kallt här inne.
    Katten sover hela dagen i soffan och vaknar först på kvällen.
    Efter maten promenerar vi en timme i parken vid floden.
    Min bror arbetar som ingenjör i en stor fabrik utanför Malmö.
    Konserten var slutsåld, men vi fick ändå tag på två biljetter.
    Läkaren säger att han borde dricka mer vatten och sova bättre.
    På torget finns det idag äpplen, potatis och färsk fisk.
    Hon har tappat sin nyckel och väntar nu framför dörren.""",
}  # fmt: skip
