namespace Ndif.Tokenizers.Chat;

/// <summary>
/// What one rendering may use. A template comes with a model, from anyone; it cannot reach anything but its variables, and this ends what
/// would run, or grow, without end.
/// </summary>
internal sealed class RenderBudget
{
    public const int MaxSteps = 1_000_000, MaxLength = 64_000_000, MaxDepth = 100;

    private int _steps;
    private long _length;

    /// <summary>One evaluation, or one round of a loop.</summary>
    public void CountStep()
    {
        if (++_steps > MaxSteps) throw new ChatTemplateException($"it takes more than {MaxSteps} steps");
    }

    /// <summary>A text or list that is looked through from its beginning to its end.</summary>
    public void CountRead(object? value) => CountOutput(value is string text ? text.Length : value is System.Collections.ICollection items ? items.Count : 0);

    /// <summary>A text or list that was made.</summary>
    public void CountOutput(long length)
    {
        if ((_length += length) > MaxLength) throw new ChatTemplateException($"it handles more than {MaxLength} characters");
    }

    public string CountOutput(string text)
    {
        CountOutput(text.Length);
        return text;
    }
}

/// <summary>A template cannot be read or rendered; caught and told with its place by <see cref="ChatTemplate"/>.</summary>
internal sealed class ChatTemplateException(string reason, Exception? inner = null) : Exception(reason, inner);
