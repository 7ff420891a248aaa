using Ndif.Protocol;
using Ndif.Tests.Support;
using Ndif.Tokenizers;

namespace Ndif.Language.Tests;

/// <summary>Conversations as prompts: they are formatted by the chat template of the model.</summary>
public sealed class ChatTests : IDisposable
{
    private const string Template = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
        + "{% if add_generation_prompt %}assistant:{% endif %}";

    private readonly TempFolder _folder = new();

    public ChatTests()
    {
        string bundled = Path.Combine(AppContext.BaseDirectory, "Bundled", "tiny-landmarks");
        foreach (string file in Directory.EnumerateFiles(bundled)) File.Copy(file, _folder.File(Path.GetFileName(file)));
        _folder.Write("chat_template.jinja", Template);
    }

    public void Dispose() => _folder.Dispose();

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private LanguageModel WithTemplate => new(_folder.Path);

    private static ChatMessage[] Question(string city) => [new("user", $"The {city} is in the city of")];

    [Fact]
    public async Task AConversation_IsTheTextOfItsTemplate()
    {
        LanguageModel llm = WithTemplate;
        async Task<Saved> GenerateAsync(object prompt)
        {
            using Trace t = llm.Generate(prompt, maxNewTokens: 3);
            Saved tokens = t.Result.Save();
            await t.RunAsync(Cancel);
            return tokens;
        }

        Saved expected = await GenerateAsync("user: The Eiffel Tower is in the city of\nassistant:");
        Assert.True(expected.Tensor.SameAs(await GenerateAsync(Question("Eiffel Tower"))));
        Saved several = await GenerateAsync(new[] { Question("Eiffel Tower"), Question("Louvre") });
        Assert.Equal(2, several.Tensor.Shape[0]);
    }

    [Fact]
    public async Task AConversation_ThatEndsWithTheAssistant_HasNoGenerationPrompt()
    {
        LanguageModel llm = WithTemplate;
        ChatMessage[] conversation = [.. Question("Louvre"), new("assistant", "Paris")];
        Saved ids = await llm.TraceAsync(conversation, _ => llm.Embed.Input.Save(), cancellationToken: Cancel);
        Assert.Equal("user: The Louvre is in the city of\nassistant: Paris\n", llm.Tokenizer.Decode(ids.Tensor));
    }

    [Fact]
    public void WhatIsNoConversation_IsAnError()
    {
        Assert.Equal(ErrorCode.BadInput, Assert.Throws<NdifException>(() => WithTemplate.Trace(Array.Empty<ChatMessage>())).Code);
        var without = new LanguageModel("ndif/tiny-landmarks");
        var error = Assert.ThrowsAny<Exception>(() => without.Trace(Question("Louvre")));
        Assert.Contains("chat_template", error.Message, StringComparison.Ordinal);
    }
}
