using Ndif.Protocol;
using Ndif.Protocol.Programs;
using Ndif.Tokenizers;

namespace Ndif.Server.OpenAi;

/// <summary>What a completion needs of its model.</summary>
/// <param name="Name">The name in the request, which the response repeats.</param>
/// <param name="Model">The model that runs.</param>
/// <param name="Texts">Its tokenizer, with the texts of its tokens.</param>
/// <param name="Edits">The published edits that the name stands for; null for the model as it is.</param>
internal sealed record CompletionModel(
    string Name, ModelRef Model, ModelDescription Description, TokenTextCache Texts, CompletionEdits? Edits = null)
{
    /// <summary>The largest number of new tokens of a chat that does not set it, where the context allows it.</summary>
    private const int DefaultChatTokens = 2048;

    /// <summary>The largest number of new tokens of a completion that does not set it; OpenAI's default.</summary>
    private const int DefaultTextTokens = 16;

    /// <summary>More characters than any token has; GPT-2's longest are 128 spaces.</summary>
    private const int MaxCharactersPerToken = 128;

    public HuggingFaceTokenizer Tokenizer => Texts.Tokenizer;

    /// <summary>The tokens that end a row.</summary>
    public IReadOnlyCollection<long> EosTokenIds { get; } = [.. GenerationDefaults.Read(Description).Options.Eos];

    /// <summary>The token ids of each prompt.</summary>
    /// <exception cref="OpenAiException">A prompt cannot be encoded, is empty, or is too long.</exception>
    public IReadOnlyList<CompletionPrompt> Encode(CompletionRequest request)
    {
        CompletionPrompt[] prompts = request.Messages is not null ? [EncodeChat(request)]
            : [.. request.Prompts.Select(prompt => EncodePrompt(prompt, request.Echo))];
        foreach (CompletionPrompt prompt in prompts) CheckLength(request, prompt.Ids.Count);
        return prompts;
    }

    /// <summary>The largest number of new tokens of the choices.</summary>
    public int GetMaxTokens(CompletionRequest request, IReadOnlyList<CompletionPrompt> prompts)
    {
        if (request.MaxTokens is { } asked) return asked;
        int usual = request.Messages is null ? DefaultTextTokens : DefaultChatTokens;
        return Description.ContextLength == 0 ? usual
            : Math.Clamp((int)Description.ContextLength - prompts.Max(prompt => prompt.Ids.Count), 1, usual);
    }

    private CompletionPrompt EncodeChat(CompletionRequest request)
    {
        if (!Tokenizer.HasChatTemplate)
            throw new OpenAiException(
                $"The model `{Name}` has no chat template. Use /v1/completions, or a model that was trained on conversations.", "model",
                "no_chat_template");
        try
        {
            string text = Tokenizer.ApplyChatTemplate(request.Messages!, addGenerationPrompt: true);
            CheckCharacters(text, request.PromptField);
            return new CompletionPrompt(text, [.. Tokenizer.Encode(text, addSpecialTokens: false)]);
        }
        catch (TokenizerFormatException refused)
        {
            throw OpenAiException.Invalid("messages", $"The chat template of `{Name}` refuses the messages: {refused.Message}");
        }
    }

    private CompletionPrompt EncodePrompt(PromptContent prompt, bool echo)
    {
        if (prompt.TokenIds is { } ids)
        {
            foreach (int id in ids)
                if (id < 0 || id >= Description.Vocabulary)
                    throw OpenAiException.Invalid(
                        "prompt", $"The token id {id} is not in the vocabulary of {Description.Vocabulary} tokens of `{Name}`.");
            return new CompletionPrompt(echo ? Tokenizer.Decode(ids) : "", RequireTokens(ids));
        }
        CheckCharacters(prompt.Text!, "prompt");
        try
        {
            return new CompletionPrompt(prompt.Text!, RequireTokens(Tokenizer.Encode(prompt.Text!)));
        }
        catch (TokenizerFormatException refused)
        {
            throw OpenAiException.Invalid("prompt", $"The prompt cannot be encoded: {refused.Message}");
        }
    }

    /// <summary>An empty prompt is the token that begins a document, as in OpenAI's API.</summary>
    private IReadOnlyList<int> RequireTokens(IReadOnlyList<int> ids) => ids.Count > 0 ? ids
        : (Tokenizer.BosId ?? Tokenizer.EosId) is { } start ? [start]
        : throw OpenAiException.Invalid("prompt", $"The prompt is empty, and `{Name}` has no token that begins a text.");

    /// <summary>Refuses a text that is too long however few tokens it has, before it is encoded, which takes memory.</summary>
    private void CheckCharacters(string text, string field)
    {
        long most = (long)Description.ContextLength * MaxCharactersPerToken;
        if (most > 0 && text.Length > most)
            throw new OpenAiException(
                $"This model's maximum context length is {Description.ContextLength} tokens. The request has {text.Length} characters in "
                + $"`{field}`, which are more. Shorten it.", field, "context_length_exceeded");
    }

    private void CheckLength(CompletionRequest request, int length)
    {
        int context = (int)Description.ContextLength;
        if (context > 0 && (request.MaxTokens is null ? length >= context : (long)length + request.MaxTokens > context))
            throw new OpenAiException(
                $"This model's maximum context length is {context} tokens. The request has {length} tokens in `{request.PromptField}`"
                + (request.MaxTokens is { } tokens ? $" and {tokens} for the completion." : ", which leave none for the completion.")
                + " Shorten one of them.", request.PromptField, "context_length_exceeded");
    }
}

/// <summary>Published edits of a model.</summary>
/// <param name="Program">A generation of a placeholder with the edits (<see cref="Edits.EditsProgramValidator"/>).</param>
/// <param name="Owner">The key that published them, to which their constants belong.</param>
internal sealed record CompletionEdits(Program Program, string Owner);

/// <summary>One encoded prompt.</summary>
/// <param name="Text">Its text, where it is known or needed.</param>
internal sealed record CompletionPrompt(string Text, IReadOnlyList<int> Ids);
