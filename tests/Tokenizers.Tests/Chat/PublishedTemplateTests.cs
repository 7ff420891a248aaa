using System.Text;
using System.Text.Json;

namespace Ndif.Tokenizers.Tests.Chat;

/// <summary>
/// Renders the published chat templates of the supported architectures. The expected texts are the output of Jinja2 3.1 with the settings
/// of transformers.
/// </summary>
public sealed class PublishedTemplateTests
{
    private static readonly ChatMessage[] _conversation = [new("user", " Hi there "), new("assistant", "Hello!"), new("user", "And?")];
    private static readonly ChatMessage[] _conversationWithSystem = [new("system", "Be brief."), .. _conversation];

    private static readonly ChatMessage[] _conversationWithToolCall =
    [
        new("user", "2+2?"),
        new("assistant", "<think>\nhm\n</think>\n\nLet me see")
        {
            AdditionalFields = new Dictionary<string, object?>
            {
                ["tool_calls"] = Json("""[{"function": {"name": "add", "arguments": {"a": 2, "b": 2}}}]"""),
            },
        },
        new("tool", "4"),
    ];

    private static readonly JsonElement _tools = Json("""
        [{"type": "function", "function": {"name": "add", "description": "Adds \"é\" & <b>",
          "parameters": {"type": "object", "properties": {}, "required": [1, 2.5, true, null]}}}]
        """);

    private static JsonElement Json(string json) => JsonDocument.Parse(json).RootElement;

    private static HuggingFaceTokenizer With(string template)
    {
        using var reader = new StreamReader(typeof(PublishedTemplateTests).Assembly.GetManifestResourceStream(template)!);
        return HuggingFaceTokenizer.FromJson(TestTokenizers.Utf8($$"""{"version":"1.0","model":{{TestTokenizers.ByteLevelBpe()}}}"""),
            TestTokenizers.Utf8("""{"bos_token": "<s>", "eos_token": {"content": "</s>"}}"""), Encoding.UTF8.GetBytes(reader.ReadToEnd()));
    }

    [Theory]
    [InlineData("llama3",
        "<s><|start_header_id|>user<|end_header_id|>\n\nHi there<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHello!<|eot_id|>"
        + "<|start_header_id|>user<|end_header_id|>\n\nAnd?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n")]
    [InlineData("llama3.1",
        "<s><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: 04 Mar 2025\n\n<|eot_id|>"
        + "<|start_header_id|>user<|end_header_id|>\n\nHi there<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHello!<|eot_id|>"
        + "<|start_header_id|>user<|end_header_id|>\n\nAnd?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n")]
    [InlineData("mistral", "<s>[INST]  Hi there  [/INST]Hello!</s>[INST] And? [/INST]")]
    [InlineData("qwen2",
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n Hi there "
        + "<|im_end|>\n<|im_start|>assistant\nHello!<|im_end|>\n"
        + "<|im_start|>user\nAnd?<|im_end|>\n<|im_start|>assistant\n")]
    [InlineData("qwen3",
        "<|im_start|>user\n Hi there <|im_end|>\n<|im_start|>assistant\nHello!<|im_end|>\n<|im_start|>user\nAnd?<|im_end|>\n<|im_start|>assistant\n")]
    [InlineData("gemma",
        "<s><start_of_turn>user\nHi there<end_of_turn>\n<start_of_turn>model\nHello!<end_of_turn>\n<start_of_turn>user\nAnd?<end_of_turn>\n<start_of_turn>model\n")]
    [InlineData("gemma3",
        "<s><start_of_turn>user\nHi there<end_of_turn>\n<start_of_turn>model\nHello!<end_of_turn>\n<start_of_turn>user\nAnd?<end_of_turn>\n<start_of_turn>model\n")]
    [InlineData("phi3", "<|user|>\n Hi there <|end|>\n<|assistant|>\nHello!<|end|>\n<|user|>\nAnd?<|end|>\n<|assistant|>\n")]
    [InlineData("stablelm", "<|user|>\n Hi there </s>\n<|assistant|>\nHello!</s>\n<|user|>\nAnd?</s>\n<|assistant|>\n")]
    [InlineData("falcon", "User:  Hi there \nFalcon: Hello!\nUser: And?\nFalcon:")]
    public void AConversation_UpToTheModelsTurn(string model, string expected) =>
        Assert.Equal(expected, With(model).ApplyChatTemplate(_conversation, addGenerationPrompt: true, time: new FixedTimeProvider()));

    [Theory]
    [InlineData("llama3", "<s><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>")]
    [InlineData("llama3.1",
        "<s><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: 04 Mar 2025\n\nBe brief.<|eot_id|>")]
    [InlineData("qwen2", "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n")]
    [InlineData("qwen3", "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n")]
    [InlineData("gemma3", "<s><start_of_turn>user\nBe brief.\n\nHi there<end_of_turn>\n")]
    [InlineData("phi3", "<|system|>\nBe brief.<|end|>\n<|user|>\n")]
    [InlineData("stablelm", "<|system|>\nBe brief.</s>\n<|user|>\n")]
    [InlineData("falcon", "System: Be brief.\nUser:  Hi there \n")]
    public void ASystemMessage_ComesFirst(string model, string expected) =>
        Assert.StartsWith(expected,
            With(model).ApplyChatTemplate(_conversationWithSystem, time: new FixedTimeProvider()), StringComparison.Ordinal);

    [Theory]
    [InlineData("gemma", "System role not supported")]
    [InlineData("mistral", "Conversation roles must alternate user/assistant/user/assistant/...")]
    public void ATemplateThatRefuses_SaysWhy(string model, string why)
    {
        var error = Assert.Throws<TokenizerFormatException>(() => With(model).ApplyChatTemplate(_conversationWithSystem));
        Assert.Contains(why, error.Message, StringComparison.Ordinal);
        Assert.Contains("line 1", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Qwen3_WithTools_AndWithoutThinking()
    {
        string text = With("qwen3").ApplyChatTemplate(_conversationWithToolCall, addGenerationPrompt: true,
            new Dictionary<string, object?> { ["tools"] = _tools, ["enable_thinking"] = false });
        Assert.Contains("""
            <tools>
            {"type": "function", "function": {"name": "add", "description": "Adds \"é\" & <b>", "parameters": {"type": "object", "properties": {}, "required": [1, 2.5, true, null]}}}
            </tools>
            """.ReplaceLineEndings("\n"), text, StringComparison.Ordinal);
        Assert.EndsWith("<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n<think>\nhm\n</think>\n\nLet me see\n"
            + "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 2, \"b\": 2}}\n</tool_call><|im_end|>\n"
            + "<|im_start|>user\n<tool_response>\n4\n</tool_response><|im_end|>\n"
            + "<|im_start|>assistant\n<think>\n\n</think>\n\n", text, StringComparison.Ordinal);
    }

    [Fact]
    public void Llama31_WithTools()
    {
        string text = With("llama3.1").ApplyChatTemplate(_conversationWithToolCall, addGenerationPrompt: true,
            new Dictionary<string, object?> { ["tools"] = _tools }, new FixedTimeProvider());
        Assert.Contains("{\n    \"type\": \"function\",\n    \"function\": {\n        \"name\": \"add\",\n",
            text, StringComparison.Ordinal);
        Assert.EndsWith("<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
            + "{\"name\": \"add\", \"parameters\": {\"a\": 2, \"b\": 2}}<|eot_id|>"
            + "<|start_header_id|>ipython<|end_header_id|>\n\n\"4\"<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
            text, StringComparison.Ordinal);
    }

    [Fact]
    public void ContentInParts_IsReadBySuchTemplates()
    {
        JsonElement parts = Json("""[{"type": "image"}, {"type": "text", "text": " what? "}]""");
        var message = new ChatMessage("user", "") { AdditionalFields = new Dictionary<string, object?> { ["content"] = parts } };
        Assert.Equal("<s><start_of_turn>user\n<start_of_image>what?<end_of_turn>\n", With("gemma3").ApplyChatTemplate([message]));
    }

    [Fact]
    public void TheTemplate_IsFoundInTheConfig_OrMissing()
    {
        var one = TestTokenizers.Create(TestTokenizers.ByteLevelBpe(), config: """{"chat_template": "{{ messages[0].content }}!"}""");
        Assert.Equal("a!", one.ApplyChatTemplate([new("user", "a")]));
        Assert.Equal(one.Encode("a!", addSpecialTokens: false), one.EncodeChat([new("user", "a")]));
        var none = TestTokenizers.Create(TestTokenizers.ByteLevelBpe());
        Assert.False(none.HasChatTemplate);
        var error = Assert.Throws<TokenizerFormatException>(() => none.ApplyChatTemplate([new("user", "a")]));
        Assert.Contains("chat_template", error.Message, StringComparison.Ordinal);
    }

    /// <summary>special_tokens_map in transformers 5: the tokens with a role, those of one model too, and none without a role.</summary>
    [Fact]
    public void EverySpecialTokenWithARole_IsAVariable()
    {
        var tokenizer = TestTokenizers.Create(TestTokenizers.ByteLevelBpe(), config: """
            {"bos_token": "<s>", "eos_token": {"content": "</s>"}, "sep_token": "[SEP]", "cls_token": "[CLS]", "mask_token": "<mask>",
             "pad_token": "<pad>", "image_token": "<image>", "extra_special_tokens": {"boi_token": "<boi>"},
             "model_specific_special_tokens": {"audio_bos": {"content": "<audio>"}},
             "chat_template": "{{ bos_token ~ eos_token ~ sep_token ~ cls_token ~ mask_token ~ pad_token }} {{ image_token ~ boi_token ~ audio_bos }} {{ unk_token is defined }} {{ additional_special_tokens is defined }} {{ extra_special_tokens is defined }}"}
            """);
        Assert.Equal("<s></s>[SEP][CLS]<mask><pad> <image><boi><audio> False False False", tokenizer.ApplyChatTemplate([new("user", "a")]));
        Dictionary<string, object?> own = new() { ["sep_token"] = "|" };
        Assert.StartsWith("<s></s>|[CLS]", tokenizer.ApplyChatTemplate([new("user", "a")], variables: own), StringComparison.Ordinal);
        var named = TestTokenizers.Create(TestTokenizers.ByteLevelBpe(), config: """
            {"additional_special_tokens": ["<a>"], "chat_template": "{{ additional_special_tokens is defined }}"}
            """);
        Assert.Equal("False", named.ApplyChatTemplate([new("user", "a")]));
    }

    private static HuggingFaceTokenizer WithTemplates(string chatTemplate) =>
        TestTokenizers.Create(TestTokenizers.ByteLevelBpe(), config: $$"""{"chat_template": {{chatTemplate}}}""");

    private const string Named = """[{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}, {"name": "tool_use", "template": "{{ tools|length }}t"}]""";

    [Theory]
    [InlineData(Named)]
    [InlineData("""{"rag": "r", "default": "d", "tool_use": "{{ tools|length }}t"}""")]
    public void OfNamedTemplates_TheOneForToolsIsTakenWithTools_AndAnyByName(string templates)
    {
        var tokenizer = WithTemplates(templates);
        ChatMessage[] messages = [new("user", "a")];
        Dictionary<string, object?> tools = new() { ["tools"] = _tools }, noTools = new() { ["tools"] = null },
            emptyTools = new() { ["tools"] = Json("[]") };
        Assert.Equal("d", tokenizer.ApplyChatTemplate(messages));
        Assert.Equal("d", tokenizer.ApplyChatTemplate(messages, variables: noTools));
        Assert.Equal("1t", tokenizer.ApplyChatTemplate(messages, variables: tools));
        Assert.Equal("0t", tokenizer.ApplyChatTemplate(messages, variables: emptyTools)); // as in transformers, an empty list is not none
        Assert.Equal("r", tokenizer.ApplyChatTemplate(messages, chatTemplate: "rag"));
        Assert.Equal("d", tokenizer.ApplyChatTemplate(messages, variables: tools, chatTemplate: "default"));
        Assert.Equal("own a", tokenizer.ApplyChatTemplate(messages, chatTemplate: "own {{ messages[0].content }}"));
        Assert.Equal(tokenizer.Encode("r", addSpecialTokens: false), tokenizer.EncodeChat(messages, chatTemplate: "rag"));
        var error = Assert.Throws<TokenizerFormatException>(() => tokenizer.ApplyChatTemplate(messages, chatTemplate: "nosuch"));
        Assert.Contains("no chat template named 'nosuch'. It has: default, rag, tool_use.", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void WithoutADefaultTemplate_TheErrorListsTheNames()
    {
        var tokenizer = WithTemplates("""[{"name": "rag", "template": "r"}, {"name": "x", "template": "x"}]""");
        var error = Assert.Throws<TokenizerFormatException>(() => tokenizer.ApplyChatTemplate([new("user", "a")]));
        Assert.Contains("none is named 'default'", error.Message, StringComparison.Ordinal);
        Assert.Contains("rag, x", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void OnlyTheTemplateThatIsUsed_IsParsed()
    {
        var tokenizer = WithTemplates("""[{"name": "broken", "template": "{% if"}, {"name": "default", "template": "d"}]""");
        Assert.Equal("d", tokenizer.ApplyChatTemplate([new("user", "a")]));
        var error = Assert.Throws<TokenizerFormatException>(() => tokenizer.ApplyChatTemplate([new("user", "a")], chatTemplate: "broken"));
        Assert.Contains("chat_template 'broken'", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TheFilesOfAFolder_TakePrecedenceOverTheConfig()
    {
        using var folder = new TempFolder();
        File.WriteAllBytes(folder.File("tokenizer.json"),
            TestTokenizers.Utf8($$"""{"version":"1.0","model":{{TestTokenizers.ByteLevelBpe()}}}"""));
        folder.Write("tokenizer_config.json", """{"chat_template": "config"}""");
        Assert.Equal("config", HuggingFaceTokenizer.FromFolder(folder.Path).ApplyChatTemplate([]));
        folder.Write("chat_template.jinja", "file");
        folder.Write("additional_chat_templates/tool_use.jinja", "tools");
        var tokenizer = HuggingFaceTokenizer.FromFolder(folder.Path);
        Assert.Equal("file", tokenizer.ApplyChatTemplate([]));
        Assert.Equal("tools", tokenizer.ApplyChatTemplate([], variables: new Dictionary<string, object?> { ["tools"] = _tools }));
    }

    private sealed class FixedTimeProvider : TimeProvider
    {
        public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;

        public override DateTimeOffset GetUtcNow() => new(2025, 3, 4, 5, 6, 7, TimeSpan.Zero);
    }
}
