// At home: a mistake and an apology, a surprise, something made, a present, a night without sleep, a seed.
#include "examples/stories/plot.hpp"

namespace tessera::stories {

namespace {

Plot mistake() {
  return {
      "mistake",
      true,
      {{"broken", {"cup", "vase", "plate", "pot", "bowl"}},
       {"hide", {"under the bed", "behind the door", "in a box", "under the stairs"}},
       {"remade", {"a little crooked", "not quite round", "full of small cracks", "a bit too big"}}},
      {
          R"({E} had a~ [beautiful|pretty] {broken} [with flowers on it|with a golden rim]. It was [very old|{E}'s favorite {broken}]. "[Please do not play near it|Be careful with it]," said {E}.)",
          R"([One day|One rainy day], {E} went [to the market|out], and {A} played with the {color} {thing} in the kitchen. [{A.he} ran around the table.|{A.he} threw it up and caught it again.])",
          R"([Crash!|Bang!] The {thing} hit the {broken}, and the {broken} fell on the floor. It [broke|was broken] into many pieces. "[Oh no, what have I done?|What will {E} say?]" [whispered|said] {A}.)",
          R"({A} was afraid. {A.he} put the pieces {hide}, where nobody could see them.)",
          R"([Soon|Then] {E} came home. "Where is my {broken}?" {E} asked. "[I do not know|I have not seen it]," said {A}. But {A.he} [did not look at {E}|looked at the floor].)",
          R"([That evening, {A} could not eat.|At night, {A} could not sleep.] {A.his} tummy felt [as heavy as a stone|cold and heavy]. {A.his} friend {B} [said|told {A.him}], "[Tell the truth. Then you will feel better.|A lie is heavier than the truth.]")",
          R"(So {A} took the pieces and went to {E}. "I broke your {broken}," {A.he} said. "[I was playing near it.|I did not listen to you.] And I did not tell the truth. I am [so|very] sorry.")",
          R"({E} was quiet for a moment. "I am sad about the {broken}," said {E}, "but I am [glad|happy] that you told me the truth. [That was brave.|That was not easy.]" And {E} gave {A} a hug.)",
          R"(?[The next day|The next morning], they put the {broken} together again with glue, piece by piece. It was {remade} now. "[I like it even more now|Now it is the only one like it in the world]," said {E}.)",
          R"("You were right," {A} told {B}. [{A} felt as light as a feather.|And {A} could laugh again.|From that day on, {A} played with the {thing} only outside.|And {A} always told the truth after that.])",
      }};
}

Plot surprise() {
  return {
      "surprise",
      true,
      {{"busy",
        {"I have to wash the windows", "I have to clean my room", "I must find my shoes", "I must water the flowers"}},
       {"cake", {"a chocolate cake", "a cake with strawberries", "an apple cake", "a honey cake"}},
       {"deco", {"balloons", "paper stars", "lamps", "flowers"}}},
      {
          R"([It was {A}'s birthday.|{A} woke up early. Today was {A.his} birthday.] [{A.he} was very excited.|{A.he} jumped out of bed.] But {E} only said, "Good morning," and nothing more.)",
          R"("[Maybe {E} forgot|Maybe nobody knows what day it is]," thought {A}. {A.he} went to see {A.his} friend {B}. "[Do you want to play with me?|Can you play today?]" {A.he} asked.)",
          R"("[Not today|I cannot play today]," said {B}. "{busy}." {B} [closed the door very fast|looked a little strange|had flour on {B.his} nose]. {A} [walked away|went away] with a heavy heart.)",
          R"(?{A} sat alone {at}. [A bird sang, but {A} did not listen.|The clouds were gray, and so was {A.his} mood.] "[Nobody thinks of me|They all forgot my birthday]," {A.he} said [|in a small voice].)",
          R"([When it was getting dark|In the evening], {E} called, "{A}, come home!" {A} [walked home slowly|went home]. [All the windows were dark.|The house was dark and quiet.] {A.he} opened the door.)",
          R"("Surprise!" [shouted everybody|everybody shouted]. The lights went on. There were {color} {deco} everywhere, and on the table stood {cake}. {E} was there, and {B}, and all {A.his} friends.)",
          R"("[We did not forget!|How could we forget your birthday?]" said {B} [|and laughed]. "[We were busy with the surprise.|We worked all day for you.]" And {B} gave {A.him} a~ {color} {thing}. "[I made it for you|This is for you]," {B.he} said.)",
          R"({A} [laughed and cried at the same time|was so happy that {A.he} could not speak]. {A.he} [blew out the candles|hugged {B}, and then {E}]. They [sang and danced|played games] until [it was late|the moon was high].)",
          R"([That night, {A} lay in bed and smiled. "This was my best birthday," {A.he} said.|"It was the best birthday of all," said {A} before {A.he} fell asleep.|And when {A} went to bed, the {color} {thing} was next to {A.him}.])",
      }};
}

Plot making() {
  return {
      "making",
      true,
      {{"what/parts/trouble/fix/done",
        {"boat/some wood, a string and a big leaf/it turned over in the water/put a flat stone in the middle/it sailed "
         "across the pond like a swan",
         "kite/paper, two sticks and a long string/it fell down again and again/gave it a longer tail/it flew high "
         "above "
         "the trees",
         "birdhouse/some boards and nails/the rain came in through a hole/put a piece of bark on the roof/two birds "
         "moved "
         "in the very next day",
         "swing/a board and two ropes/one side hung too low/made the other rope shorter/they could touch the leaves "
         "with "
         "their toes",
         "cake/flour, eggs and honey/it was flat on one side/covered it with cream and berries/it tasted wonderful",
         "puppet/a sock, two buttons and some wool/its head hung down/put a small stick inside/it could nod and dance",
         "wagon/a box and four wheels/one wheel fell off/held it with a strong nail/they could ride down the hill in "
         "it"}}},
      {
          R"([One day|One rainy day|One morning], {A} had an idea. "[I want to make a~ {what}|Let us make a~ {what}]," {A.he} said to {A.his} friend {B}. "[That is a good idea|I will help you]," said {B}.)",
          R"([{B} asked, "What do we need?"|"What do we need for it?" asked {B}.] "We need {parts}," said {A}. [They looked in every corner and found it all.|{E} gave them what they needed.|{B} brought everything in a~ {color} bag.])",
          R"(?Then they [began|went to work]. {A} [worked hard|did one half], and {B} [helped where {B.he} could|did the other half]. [They sang while they worked.|They forgot the time.])",
          R"([At last the {what} was done.|In the afternoon the {what} was ready.] But there was a problem: {trouble}. "[It is no good|All that work for nothing]," said {A} and [wanted to throw it away|sat down on the floor].)",
          R"("[Wait|Do not give up]," said {B}. "[Let us think.|There must be a way.]" They thought and thought. [Then {B} said, "I know!"|Then {A} jumped up. "I know!" {A.he} said.])",
          R"(They {fix}. "[Now let us try again|One more time]," said {A}. [They held their breath.|They looked at each other.] And this time {done}!)",
          R"("[It works!|We did it!]" they shouted. {E} came to see it. "[That is the best {what} I have ever seen|What a fine {what} that is]," said {E}. "We made it together," said {A}.)",
          R"([They painted two stars on it|They painted the {what} {color}|They gave the {what} a name], and [everybody wanted to see it|they were very proud].)",
          R"("What will we make tomorrow?" asked {B}. {A} smiled. [{A.he} already had a new idea.|"Something even better," {A.he} said.])",
      }};
}

Plot present() {
  return {
      "present",
      true,
      {{"made",
        {"a picture of the house", "a picture of {E}", "a chain of shells", "a box of sticks and moss",
         "a crown of flowers", "a little book of stories"}},
       {"dear", {"a golden ring", "a silver clock", "a big red chair", "a coat with gold buttons"}}},
      {
          R"([Tomorrow was {E}'s birthday.|It was one day before {E}'s birthday.] {A} wanted to give {E} something [very special|beautiful]. [But what?|But {A.he} did not know what.])",
          R"({A} went to the shop with {A.his} friend {B}. In the window they saw {dear}. "[That is a fine present|{E} would like that]," said {A}. But {A.he} had only [one coin|two coins|three coins].)",
          R"("That is not enough," said {B}. {A} [sighed|looked sad]. "[I have nothing to give,|What can I do now?]" {A.he} said. They [went to {place} and sat down|walked home through the rain].)",
          R"("[You do not need money for a present|A present does not have to cost anything]," said {B}. "[You can make something.|You have two {A.hand}s, and you can make something.]" {A} [thought about it|began to smile].)",
          R"(So {A} made {made}. {A.he} worked [all afternoon|until it was dark]. [Once it went wrong, and {A.he} had to begin again.|It was hard, but {A.he} did not stop.] {B} [helped {A.him}|kept {A.him} company].)",
          R"([The next morning|In the morning], {A} put it in a~ {color} box and gave it to {E}. "Happy birthday! [I made it for you|It is not gold, but I made it myself]," {A.he} said.)",
          R"(?{E} opened the box and [was very quiet|said nothing for a while]. {A} was worried. "[Do you not like it?|Is it not good?]" {A.he} asked.)",
          R"({E} had [a tear in one eye|wet eyes]. "[It is the most beautiful present of all|I have never had such a fine present]," said {E}. "[You made it with love.|There is love in it.]" And {E} gave {A} a [big|long] hug.)",
          R"([{E} put it where everybody could see it.|{E} kept it next to the bed for many years.] And {A} knew that [the best presents come from the heart|love is better than gold].)",
      }};
}

Plot no_sleep() {
  return {
      "no_sleep",
      true,
      {{"first,second",
        {"drank a cup of warm milk", "counted twenty sheep", "looked at the moon", "sang a quiet song",
         "turned the pillow around", "told {A.his} {thing} a story"}},
       {"noise/cause",
        {"Tap, tap, tap/a branch at the window", "Squeak, squeak/a tiny mouse with a nut",
         "Drip, drip/the rain on the roof", "Whoo, whoo/an owl in the tree"}}},
      {
          R"([It was late.|It was night.] Everybody was asleep, but {A} could not sleep. [{A.he} lay on {A.his} back.|{A.he} turned to the left and to the right.] {A.he} was wide awake.)",
          R"([First|So] {A} {first}. But {A.he} still could not sleep. Then {A.he} {second}. [That did not help.|It did not help at all.])",
          R"("{noise}," it went. {A} sat up. "[What is that?|Who is there?]" {A.he} [whispered|asked]. [{A.his} heart beat fast.|{A.he} held the {color} {thing} tight.] "{noise}," it went again.)",
          R"({A} [got up and went to {E}|called {E}]. "I cannot sleep, and there is a strange noise," {A.he} said. "[Then let us look together|Let us see what it is]," said {E} and took a candle.)",
          R"(They went [on quiet feet|very slowly] and looked. It was only {cause}. {A} had to laugh. "[And I was afraid of that|So that was all]," {A.he} said.)",
          R"({E} [sat down on {A}'s bed|took {A} back to bed]. "[What was good today?" asked|Tell me about your day," said] {E}. {A} thought. "I played with {B} {at}. [We laughed so much|We were very fast|It was fun]," {A.he} said. "And I had my {color} {thing} with me.")",
          R"("And what [will you do|will be] tomorrow?" asked {E}. "Tomorrow {B} and I will play again," said {A} [very slowly|with a yawn]. {A.his} eyes [were closed|fell shut].)",
          R"({E} put the blanket over {A} and put the {thing} next to {A.him}. "Good night, {A}," {E} whispered [|and blew out the candle].)",
          R"([Outside, the moon was shining, and everything was quiet.|And {A} slept until the sun came up.|{noise}, it went again, but {A} did not hear it.])",
      }};
}

Plot seed() {
  return {
      "seed",
      true,
      {{"plant/fruit",
        {"sunflower/big and yellow, and it looked at the sun",
         "pumpkin/round and orange, and so big that nobody could lift it", "rose/red and soft, and it smelled sweet",
         "bean/so tall that it looked over the roof", "strawberry/full of sweet red berries"}},
       {"animal", {"a bird", "a snail", "a mole", "a hen"}}},
      {
          R"([One spring day|In spring], {E} gave {A} a [tiny|small] seed. "What is it?" asked {A}. "[Put it into the earth and wait|That is a secret]," said {E}. "[Then you will see.|It needs water, sun and time.]")",
          R"({A} made a hole [in the garden|behind the house], put the seed in and gave it water. Then {A.he} sat down and waited. [Nothing happened.|But there was nothing to see.])",
          R"([The next day|In the morning], {A} looked again. There was only brown earth. "[It does not work|My seed is lazy]," said {A}. {A.his} friend {B} laughed. "[You must wait longer than one day|Good things take time]," said {B}.)",
          R"([So {A} gave it water every morning.|Every day {A} brought water in a~ {color} can.] A week went by, and then another one. [{A} wanted to dig the seed up.|"I will dig it up and look," said {A}.] "[No, let it sleep|Please do not do that]," said {B}.)",
          R"([Then, one morning|At last], a small green leaf came out of the earth. "It is here! It is here!" [called|shouted] {A}. {B} came running. [They danced around the leaf.|They lay down in the grass to see it better.])",
          R"(?[One day {animal} wanted to eat it|Then {animal} came and wanted to eat the leaf], so {A} and {B} made a little fence around it. [It rained, and the sun came out, and the plant grew.|The plant grew a little every day.])",
          R"(In summer it was a~ {plant}. It was {fruit}. "[So that was the secret|All of that was in one little seed]," said {A}.)",
          R"("[You took good care of it|You learned how to wait]," said {E}. [Everybody came to look at it.|{A} was very proud.] {A} gave {B} [the best part of it|a piece of it], because {B.he} had helped.)",
          R"(?In autumn they found new seeds in it. {A} put one into {B}'s {B.hand}. "[Now you must wait too|I will not tell you what it is]," {A.he} said, and they both laughed.)",
      }};
}

}  // namespace

std::vector<Plot> home_plots() { return {mistake(), surprise(), making(), present(), no_sleep(), seed()}; }

}  // namespace tessera::stories
