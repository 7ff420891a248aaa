#:project ../../src/Engine/Engine.csproj
#:property RunsTorch=true
using Ndif;
using Ndif.Tokenizers;

// a second model: a copy of the bundled one in a folder of its own, with a chat template
string folder = Directory.CreateTempSubdirectory("second-model").FullName;
foreach (string file in Directory.EnumerateFiles(Path.Combine(AppContext.BaseDirectory, "Bundled", "tiny-landmarks")))
    File.Copy(file, Path.Combine(folder, Path.GetFileName(file)));
File.WriteAllText(Path.Combine(folder, "chat_template.jinja"), "{% for message in messages %}{{ message.content }}{% endfor %}");

LanguageModel first = new("ndif/tiny-landmarks"), second = new(folder);

// one session: what the first model computes is patched into the second, and its text is the second's prompt
using (Session session = first.Session())
{
    Value paris, text;
    Saved city, length;
    using (first.Trace("The Eiffel Tower is in the city of")) paris = first.Layers[^1].Hidden[.., ^1];
    using (Trace t = first.Generate("The Eiffel Tower is in", maxNewTokens: 5)) text = t.Result;
    using (second.Trace("Vatican is in the city of"))
    {
        second.Layers[^1].Hidden[.., ^1] = paris;
        city = second.Logits[0, ^1].ArgMax(-1).Save();
    }
    using (second.Trace(text)) length = second.Embed.Input.Shape[^1].Save();
    await session.RunAsync();
    Console.WriteLine($"patched:{second.Tokenizer.Decode(city)}, a prompt of {length.Result} tokens");
}

// a conversation is formatted by the model's chat template
ChatMessage[] conversation = [new("user", "The Eiffel Tower is in the city of")];
using (Trace t = second.Generate(conversation, maxNewTokens: 1))
{
    Saved ids = t.Result.Save();
    await t.RunAsync();
    Console.WriteLine($"chat: {second.Tokenizer.Decode(ids)}");
}
Directory.Delete(folder, recursive: true);
// prints: patched: Paris, a prompt of 10 tokens
// prints: chat: The Eiffel Tower is in the city of Paris
