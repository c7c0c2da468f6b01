// Out of doors: a journey, a treasure, a lost child, the first snow.
#include "examples/stories/plot.hpp"

namespace tessera::stories {

namespace {

Plot journey() {
  return {
      "journey",
      true,
      {{"goal/view",
        {"the top of the green hill/the whole land, the river and even their own house",
         "the old lighthouse/the wide sea and a hundred white sails",
         "the great waterfall/the water that fell down like silver",
         "the end of the forest/a field full of yellow flowers",
         "the blue lake/a lake as blue as the sky, with swans on it"}},
       {"food", {"bread and cheese", "apples and nuts", "two honey cakes", "a pot of soup"}},
       {"barrier/over",
        {"a fast stream/jumped from stone to stone", "a fallen tree/climbed over it",
         "a thick hedge/found a small hole and crawled through", "a deep ditch/put a board over it and walked across"}},
       {"helper/the helper/way",
        {"a snail/the snail/left", "a hare/the hare/right", "a crow/the crow/straight on", "an old dog/the dog/left",
         "a beetle/the beetle/right"}}},
      {
          R"([All {A.his} life, {A} had wanted to see|For a long time, {A} had wanted to go to] {goal}. [One fine morning|One summer day], {A.he} said to {B}, "[Today we will go there|Let us go there today]." "[I will come with you!|Yes, let us go!]" said {B}.)",
          R"({E} gave them {food} and said, "[Be home before dark|Stay together and be careful]." {A} put everything in a~ {color} bag, and off they went.)",
          R"(?They walked past the mill and over the bridge. [The birds sang|The sun was shining] and [they sang too|they were in a good mood]. But after a while they came to {barrier}. "[How can we get to the other side?|Now we cannot go on!]" said {B}. "[We will find a way|Wait, I have an idea]," said {A}. They {over}. "[That was not so hard|That was fun]," said {B}.)",
          R"(?Then the path [went two ways|came to an end]. [They did not know where to go.|"Are we lost?" asked {B}.] {helper} sat there in the sun. "[Excuse me|Please], which way is it to {goal}?" asked {A}. "Go {way}, and do not stop," said {the helper}. So they went {way}. [It was a long way.|The way was long and steep.])",
          R"(?{B} became tired. "[My legs cannot go on," said|How far is it now?" asked] {B}. {A} took {B.his} {B.hand}. "Let us rest and eat something," {A.he} said. They sat down and ate {food}.)",
          R"([And then, at last, they were there.|At last they came to {goal}.] They saw {view}. [For a long time they said nothing.|They stood there with open mouths.] "[It is even better than I thought|It was worth every step]," said {A}.)",
          R"([When the sun was low|In the late afternoon], they went back. {A} took a small [white|round] stone home. They came home just before dark.)",
          R"({E} was waiting at the door. "[How was it?|What did you see?]" {E} asked. [They both talked at the same time.|{A} put the stone on the table.] "We saw {view}," said {A}. "[Next time you must come with us|And we did it together]," said {B}.)",
      }};
}

Plot treasure() {
  return {
      "treasure",
      true,
      {{"found", {"an old book", "a green bottle", "a broken clock", "a dusty box"}},
       {"mark/under", {"the tree with two trunks/its roots", "the round rock/the moss", "the old well/a loose stone"}},
       {"steps", {"ten", "twelve", "twenty", "thirty"}},
       {"direction", {"to the north", "to the river", "to the hill", "to the setting sun"}},
       {"inside",
        {"two wooden whistles", "two small golden bells", "a bag of glass balls", "two crowns of paper",
         "a lantern made of colored glass"}}},
      {
          R"([One rainy day|One day], {A} found a piece of paper in {found}. There were lines on it, and a big red X. "[It is a map!|This must be a treasure map!]" {A.he} [cried|whispered].)",
          R"({A} ran to {B} and showed {B.him} the map. "[We must find the treasure|Let us find the treasure]," said {B}. They took a~ {color} {thing}, because [you never know|one never knows], and a spade, and [went out|began the search].)",
          R"(The map said, "Go to {mark}." [It was not hard to find.|They looked for a long time.] "[Here it is!|That must be it!]" called {B}. Then the map said, "Walk {steps} steps {direction}." They walked {steps} steps and counted aloud.)",
          R"(?[But there was nothing.|But there they saw only grass.] {A} looked at the map again. "[Our legs are too short|Our steps are too small]," {A.he} said [and laughed|]. "[We must take bigger steps.|The map was made by somebody with long legs.]" So they went back and took {steps} big steps.)",
          R"(Then they came to a place where the earth was soft. They began to dig. [They dug and dug.|First {A} dug, and then {B}.] [Clonk!|Tock!] The spade hit something hard. It was a small box.)",
          R"("[Open it!|What is in it?]" said {B}. {A} opened the box [slowly|with both {A.hand}s]. Inside were {inside} and a letter. {A} read it.)",
          R"("Dear friend," said the letter, "[I hid this when I was as small as you.|I put this here many years ago.] [The real treasure is the friend who helped you to find it.|The best treasure is somebody to share it with.] Your {E}.")",
          R"("{E}!" cried {A}. They ran [home|to {E}]. {E} was smiling. "[So you found it at last|I was wondering when you would find it]," said {E}.)",
          R"(?[{A} and {B} shared the treasure.|They shared what was in the box.] [Then they hid a new box, with a new letter, for somebody else to find.|And in the evening {E} told them where all the other maps were. Or maybe not all of them.|And {A} thought that the letter was right.])",
      }};
}

Plot lost_baby() {
  return {
      "lost_baby",
      true,
      {{"baby/mother/cry",
        {"duckling/duck/peeped", "lamb/sheep/cried", "chick/hen/peeped", "little fawn/deer/cried",
         "gosling/goose/peeped"}},
       {"first,second", {"cow", "horse", "pig", "crow", "cat", "donkey"}},
       {"spot",
        {"behind the barn", "by the stream", "in the corn field", "under the willow",
         "on the other side of the hill"}}},
      {
          R"([One morning|One day], {A} was walking to {place} [with the {color} {thing}|to play with {B}]. Suddenly {A.he} heard a small sound. [In the grass|By the path] sat a {baby}. It was all alone, and it {cry}.)",
          R"("[Why are you crying|What is the matter], little one?" asked {A}. "I lost my mother," said the {baby}. "[She was here, and then she was gone.|I ran after a butterfly, and now I do not know where she is.]")",
          R"("[Do not cry|Do not worry]. I will help you to find her," said {A}. {B} came too, and together they went to look for the mother.)",
          R"(?First they met a {first}. "Is this your baby?" asked {A}. "No," said the {first}. "[My baby is bigger.|I am a {first}, and that is a {baby}.] [Ask the {second}.|Go and ask the {second}.]")",
          R"(Then they met a {second}. "Is this your baby?" asked {B}. "No," said the {second}. "[But I heard somebody call {spot}.|But I saw a {mother} {spot}. She was looking for somebody.]")",
          R"(?The {baby} was tired, so {A} [carried it|held it in both {A.hand}s]. "[Are we there yet?|Will we find her?]" it asked. "[Soon|Yes, I am sure]," said {A}, and {B} [sang a song for it|told it a funny story].)",
          R"(They went and looked {spot}. And there was a {mother}! [She ran up and down and called.|She looked left and right.] "Mother!" {cry} the {baby} and ran to her as fast as it could.)",
          R"("My baby! [Where have you been?|I looked for you everywhere!]" said the {mother}. She [held it close|put her head on its head]. "Thank you for bringing it home," she said to {A} and {B}. "[You are kind children.|I will never forget it.]")",
          R"([When they went home, the {baby} waved.|"Come and see us again," said the {baby}.] {A} [told {E} the whole story|ran home to {E}]. "[I want to give you a hug|Now I need a hug]," {A.he} said, and {E} [hugged {A.him} for a long time|laughed and gave {A.him} a big one].)",
      }};
}

Plot first_snow() {
  return {
      "first_snow",
      true,
      {{"nose", {"a carrot", "a red apple", "a nut"}},
       {"gone/thief/reason",
        {"the scarf/hare/I was so cold", "the hat/mouse/I need a warm bed for the winter",
         "the nose/squirrel/I was so hungry", "the scarf/crow/I need it for my nest",
         "the nose/hare/I have nothing to eat"}}},
      {
          R"([One winter morning|One morning in winter], {A} woke up and everything was white. "[Snow! It is snowing!|Look, snow!]" {A.he} [called|shouted]. {A.he} put on {A.his} {color} coat and [ran|went] outside.)",
          R"({B} was already there. "Let us make a snowman," said {B}. They made a big ball, a smaller ball and a little ball. [They put one on top of the other.|It was hard work.])",
          R"({A} gave the snowman a hat and a scarf, and {B} gave him a nose. It was {nose}. "[He looks just like {E}|Now he can smell the snow]," said {A}, and they laughed [so much that they fell into the snow|].)",
          R"([But the next morning|The next day], {gone} [was gone|was not there]. "[Who took it?|Where is {gone}?]" asked {A}. Then {B} saw small tracks in the snow. "[Look, somebody was here|Let us follow them]," said {B}.)",
          R"(They went after them[|, over the field]. The tracks went to a hole under a tree. [In front of it sat a {thief}.|A {thief} looked out.] It had {gone}!)",
          R"("[That is ours!|Why did you take it?]" said {B}. The {thief} [looked down|was ashamed]. "I am sorry," it said. "{reason}. [I did not think that a snowman would need it.|I did not know what to do.]")",
          R"({A} and {B} looked at each other. [They were not angry any more.|They felt sorry for the {thief}.] "You can keep it," said {A}. "[But next time, please ask|You need it more than he does]." They went home and came back with [bread and nuts|corn and apples] and a warm blanket.)",
          R"(?"[You are so kind|Thank you, thank you]," said the {thief}. [It ate a little and rolled up in the blanket.|It danced in the snow.])",
          R"(?[In the evening|When they came home], {E} made hot [milk with honey|chocolate]. {A} looked out of the window. [The {thief} sat next to the snowman, and it looked as if they were talking.|It was snowing again, and the snowman seemed to smile.])",
      }};
}

}  // namespace

std::vector<Plot> outdoor_plots() { return {journey(), treasure(), lost_baby(), first_snow()}; }

}  // namespace tessera::stories
