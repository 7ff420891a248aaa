namespace Ndif.Tokenizers.Chat;

/// <summary>
/// The limits of one rendering. A template comes with a model and is not trusted. It can reach nothing but its variables, and these
/// limits stop a template that would run or grow without bound.
/// </summary>
internal sealed class RenderBudget
{
    public const int MaxSteps = 1_000_000, MaxLength = 64_000_000, MaxDepth = 100;

    private int _steps;
    private long _length;

    /// <summary>Counts one evaluation or one iteration of a loop.</summary>
    public void CountStep()
    {
        if (++_steps > MaxSteps) throw new ChatTemplateException($"it takes more than {MaxSteps} steps");
    }

    /// <summary>Counts the length of a string or list that an operation reads as a whole.</summary>
    public void CountRead(object? value) =>
        CountOutput(value switch
        {
            string text => text.Length,
            MarkupValue markup => markup.Text.Length,
            List<object?> list => list.Count,
            TupleValue tuple => tuple.Items.Count,
            MappingValue map => map.Count,
            _ => 0,
        });

    /// <summary>Counts the length of a string or list that an operation creates.</summary>
    public void CountOutput(long length)
    {
        if ((_length += length) > MaxLength) throw new ChatTemplateException($"it handles more than {MaxLength} characters");
    }

    /// <summary>Counts the length of a new string and returns the string.</summary>
    public string CountOutput(string text)
    {
        CountOutput(text.Length);
        return text;
    }
}
