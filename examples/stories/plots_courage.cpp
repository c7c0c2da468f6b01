// Courage: the dark, deep water, a high tree, a storm, something hard to learn.
#include "examples/stories/plot.hpp"

namespace tessera::stories {

namespace {

Plot afraid_of_the_dark() {
  return {
      "afraid_of_the_dark",
      true,
      {{"light", {"a small candle", "a lantern", "a little lamp"}},
       {"sight",
        {"the stars looked like tiny lamps", "the moon was round and white", "small lights danced in the grass",
         "the snow on the hills was silver"}}},
      {
          R"({A} was afraid of the dark. [Every night {A.he} hid under the blanket.|{A.he} never went out at night.|At night {A.he} wanted {E} to stay near {A.him}.])",
          R"([One night, {A} heard a small voice outside.|One evening, when {A} was in bed, there was a knock at the window.] "[Please help me!|Is anybody there?] I cannot find my way home," said the voice. It was {A.his} friend {B}.)",
          R"({A} looked out. [It was very dark.|It was as black as coal.] {A.his} heart [beat fast|went boom, boom, boom]. "[I cannot go out there|I am too afraid]," {A.he} thought. But {B} [was all alone|needed help].)",
          R"(So {A} took {light} and opened the door. {A.he} took one small step, and then another one. [The trees made strange sounds.|Something moved in the bushes, but it was only the wind.|A shadow jumped, but it was only a leaf.])",
          R"("I am coming, {B}!" called {A}. [{B} was standing by the fence.|{B} was sitting under a tree.] "[You came!|There you are!] Are you not afraid of the dark?" asked {B}.)",
          R"("I was afraid," said {A}, "but [I thought of you|you needed me]." {A} took {B.his} {B.hand}, and they walked [|slowly] down the dark path together.)",
          R"("Look up," said {B}. {A} looked up and saw that {sight}. "[It is beautiful|I never knew this]," {A.he} [said|whispered].)",
          R"([Soon they came to {B}'s house.|It was not far to {B}'s house.] "Thank you, {A}. You are very brave," said {B}. [{A} walked home alone, and {A.he} even sang a song.|On the way back, {A} did not run at all.])",
          R"("[Where were you?|You went out in the dark?]" asked {E}. "[I brought {B} home|I helped {B}]," said {A}. "The dark is not so bad." [And that night {A.he} slept without a light.|From that night on, {A} was not afraid any more.])",
      }};
}

Plot afraid_of_water() {
  return {
      "afraid_of_water",
      true,
      {{"water/edge", {"the lake/the shore", "the river/the river bank", "the pond/the bank", "the sea/the beach"}},
       {"fun", {"splashed and laughed", "played in the water", "looked for shells", "jumped over little waves"}},
       {"reason", {"It is deep and cold", "I cannot see the ground", "A wave may carry me away"}}},
      {
          R"({A} was afraid of {water}. When the others {fun}, {A} stayed on {edge} and [held {A.his} {color} {thing}|watched them|dug in the sand].)",
          R"("Come in, {A}!" called {B}. "[No, I do not want to|I do not like water]," said {A}. "{reason}." [{A.he} went home feeling sad.|{A.he} wished that {A.he} was brave like {B}.])",
          R"(?{A} told {E} about it. "[When I was small, I was afraid too|Everybody is afraid of something]," said {E}. "[You do not have to do it all at once.|Start with one toe.|Take one little step each day.]")",
          R"([The next day|The next morning], {A} put one foot into {water}. [It was cold, but it was not so bad.|It tickled, and {A.he} had to laugh.] {B} [held {A.his} {A.hand}|stood next to {A.him}]. "I am here," said {B}.)",
          R"([On the second day|One day later], {A} went in up to the knees. On the third day, {A.he} went in up to the tummy. [Every day it was easier.|"It is only water," said {A}.])",
          R"([Then|That day] the wind took the {color} {thing} and blew it into {water}. "[Oh no, my {thing}!|My {thing}!]" cried {A}. [It was floating away.|The waves carried it away.])",
          R"({A} did not think for long. {A.he} took a deep breath and went in, up to the chin. {A.he} [reached out|stretched] and caught the {thing}. "I have it!" {A.he} called.)",
          R"("{A}, look where you are!" said {B}. {A} looked down. {A.he} was [in the deep water|swimming], and {A.he} was not afraid. [They both laughed.|{B} cheered.])",
          R"([After that, {A} went into {water} every day.|Now {A} is always the first one in the water.|In the evening, {A} told {E}, "I am not afraid of {water} any more."])",
      }};
}

Plot up_high() {
  return {
      "up_high",
      true,
      {{"stuck/it/call",
        {"a little cat/cat/meowed", "a small bird with a hurt wing/bird/called",
         "a baby squirrel/baby squirrel/cried"}},
       {"where", {"a tall tree", "the roof of the barn", "a high wall", "the old tower"}}},
      {
          R"({A} did not like high places. [When {A.he} looked down, {A.his} knees began to shake.|High places made {A.him} dizzy.] [So {A.he} always stayed on the ground.|The others climbed and {A} watched.])",
          R"([One day|One afternoon], {A} and {B} were playing with the {color} {thing} {at}. Suddenly they heard a sound. High up on {where} sat {stuck}. It {call} and could not come down.)",
          R"("We must help the {it}," said {B}. "I can hold the ladder, but [my foot hurts and I cannot climb|I am too heavy for it]. Can you go up?")",
          R"(?{A} looked up. It was very high. "[I cannot do it|I am afraid]," {A.he} said. The {it} {call} again. [It sounded so sad.|It was shaking.])",
          R"("[Do not look down|Look only at the next step]," said {B}. "[You can do it.|I will hold the ladder tight.]" {A} [took a deep breath|closed {A.his} eyes for a moment] and began to climb.)",
          R"(One step. Two steps. Three steps. [{A.his} legs were shaking, but {A.he} went on.|The wind blew, but {A.he} held on tight.] At last {A.he} was at the top.)",
          R"("Hello, little one. [Do not be afraid|I was afraid too]," whispered {A}. [Very gently|Softly], {A.he} put the {it} into {A.his} bag and climbed down again.)",
          R"("You did it!" [cried|shouted] {B}. The {it} [looked at {A} with bright eyes|came close to {A}]. "[It wants to thank you|I think it likes you]," said {B}.)",
          R"([That evening, {A} told {E} everything.|When {E} heard the story, {E} was very proud.] "[Brave does not mean that you are not afraid. It means that you help anyway.|You were afraid, and you did it anyway. That is brave.]" {E} [nodded|smiled].)",
          R"([From that day on, {A} climbed with the others.|And {A} was not so afraid of high places any more.|The {it} came to visit {A} every day.])",
      }};
}

Plot storm() {
  return {
      "storm",
      true,
      {{"shelter/it",
        {"an old barn/barn", "a small cave/cave", "a hollow tree/tree", "an empty hut/hut",
         "a dry place under the bridge/bridge"}},
       {"small/animal/thanks",
        {"a wet little bird/bird/sang a happy song", "a tiny snail/snail/came out of its shell and waved",
         "a lost duckling/duckling/quacked with joy", "a wet bee/bee/danced in the air",
         "a small lamb/lamb/jumped around them"}},
       {"wrap", {"scarf", "blanket", "coat"}}},
      {
          R"([One afternoon|One warm day], {A} and {A.his} friend {B} were playing with the {color} {thing} {at}. [The sky was blue and the sun was warm.|It was a fine day.])",
          R"([Suddenly|Then] dark clouds came. The wind began to blow and [the leaves flew through the air|the trees bent down]. With a loud boom, the thunder came. Big drops of rain began to fall.)",
          R"("[We must go inside!|We must find a dry place!]" [cried|shouted] {B}. They [ran as fast as they could|took the {thing} and ran] and found {shelter}. [It was dark there, but it was dry.|There they were safe from the rain.])",
          R"([Then they heard a sound.|"Listen," said {A}. "There is somebody here."] In a corner sat {small}. It was [cold and afraid|shaking with cold].)",
          R"("[Poor little thing|Do not be afraid]," said {A}. {A.he} took off {A.his} {wrap} and put it around the {animal}. [{B} sang a soft song.|{B} gave it some bread.])",
          R"(?The storm was loud. [The thunder came again, and {B} began to cry.|There was a bright flash, and {B} hid {B.his} face.] "[Let us count until it goes away|Hold my {A.hand}]," said {A}. [They counted to ten, and then to twenty.|So they sat close together and waited.])",
          R"([At last|After a long time] the rain stopped. They looked out. There was a big rainbow [in the sky|over {place}]. [It was red, yellow, green and blue.|"How beautiful," said {B}.])",
          R"({A} let the {animal} go. It {thanks}. [Then it went home.|"It says thank you," said {A}.])",
          R"([{E} was already looking for them.|When they came home, {E} was waiting at the door.] "[I was so worried|I am glad that you are safe]," said {E} and [gave them warm milk|gave them a hug].)",
          R"("[We were safe, and we found a new friend|We were not afraid, because we were together]," said {A}.)",
      }};
}

Plot learning() {
  return {
      "learning",
      true,
      {{"skill/fail/win",
        {"whistle/only air came out/a clear, bright sound came out",
         "swim/{A.he} swallowed a lot of water/{A.he} swam all the way to the other side",
         "skate/{A.he} fell on {A.his} back/{A.he} went around the whole lake without falling",
         "dance/{A.he} stepped on {A.his} own feet/{A.he} turned around and around like a leaf in the wind",
         "jump over the stream/{A.he} fell into the water/{A.he} landed on the other side with dry feet",
         "play the flute/it sounded like an angry goose/it sounded like a song from a dream",
         "walk on a rope/{A.he} fell into the grass/{A.he} walked from one end to the other"}}},
      {
          R"({A} wanted to [{skill}|learn to {skill}]. {A.his} friend {B} could do it very well. ["It looks so easy," said {A}.|{A} watched {B.him} every day.])",
          R"([One morning|On Monday], {A} tried it for the first time. {A.he} tried to {skill}, but {fail}. [{A.he} tried again, but {fail} again.|Everybody laughed.|"Oh no," said {A}.])",
          R"("I will never learn it," {A.he} said and [kicked a stone|sat down {at}|threw {A.his} {color} {thing} on the ground]. {B} sat down next to {A.him}.)",
          R"("[I could not do it on the first day|When I began, it was just the same for me]," said {B}. "[I tried a hundred times.|I tried every day for a whole month.] [Do not give up.|You only need some time.]")",
          R"([So {A} tried every day.|So {A} began again.] On the first day, {fail}. On the second day, it was [a little better|almost the same]. On the third day, {A} wanted to stop. But {B} said, "[One more time.|You are so close.]")",
          R"({A} [took a deep breath|closed {A.his} eyes|thought of {B}'s words] and tried one more time. And then it happened: {win}!)",
          R"("[I did it!|Did you see that?]" {A} [shouted|cried]. "I can {skill}!" {B} [clapped and laughed|jumped up and down|gave {A.him} a big hug]. "I knew it," {B.he} said.)",
          R"([{A} ran home to show {E}.|In the evening, {A} showed {E}.] "[How did you learn that?" asked|That is wonderful!" said] {E}. "[I just did not stop|{B} helped me, and I did not give up]," said {A}.)",
          R"([A week later, a small {B.kind} said to {A}, "I will never learn it." {A} smiled. "Do not give up," {A.he} said.|Since that day, when something is hard, {A} says, "One more time."|And the next day, {A} began to learn something new.])",
      }};
}

}  // namespace

std::vector<Plot> courage_plots() { return {afraid_of_the_dark(), afraid_of_water(), up_high(), storm(), learning()}; }

}  // namespace tessera::stories
