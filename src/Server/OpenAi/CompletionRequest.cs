using Ndif.Protocol;
using Ndif.Tokenizers;

namespace Ndif.Server.OpenAi;

/// <summary>A request of <c>/v1/completions</c> or <c>/v1/chat/completions</c> whose fields are valid in themselves.</summary>
internal sealed record CompletionRequest
{
    public required string Model { get; init; }

    /// <summary>The prompts of a completion: texts, or token ids. Empty for a chat.</summary>
    public IReadOnlyList<PromptContent> Prompts { get; init; } = [];

    /// <summary>The conversation of a chat; null for a completion.</summary>
    public IReadOnlyList<ChatMessage>? Messages { get; init; }

    /// <summary>The field that contains the prompts, for error messages.</summary>
    public string PromptField => Messages is null ? "prompt" : "messages";

    /// <summary>The number of choices for each prompt.</summary>
    public int ChoiceCount { get; init; } = 1;

    /// <summary>The largest number of new tokens of a choice; null for the default of the endpoint.</summary>
    public int? MaxTokens { get; init; }

    /// <summary>How tokens are chosen. The number of new tokens is not set.</summary>
    public required Generation Sampling { get; init; }

    /// <summary>Texts that end a choice, and are not part of it.</summary>
    public IReadOnlyList<string> Stop { get; init; } = [];

    /// <summary>The number of likely tokens beside the log probability of each token; null for no log probabilities.</summary>
    public int? TopLogprobs { get; init; }

    /// <summary>Whether the text of a choice begins with the prompt.</summary>
    public bool Echo { get; init; }

    public bool Stream { get; init; }

    /// <summary>Whether the last event of a stream has the usage.</summary>
    public bool IncludeUsage { get; init; }
}

/// <summary>One prompt: a text or token ids.</summary>
internal readonly record struct PromptContent(string? Text, IReadOnlyList<int>? TokenIds);
