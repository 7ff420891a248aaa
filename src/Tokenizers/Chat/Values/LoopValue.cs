namespace Ndif.Tokenizers.Chat.Values;

/// <summary>The variable <c>loop</c>. It reads one item ahead only where the template asks for it.</summary>
/// <param name="items">The items.</param>
/// <param name="length">The number of items; null if it is known only when all have been read.</param>
/// <param name="recurse">Renders the body for other items; null if the loop is not recursive.</param>
/// <param name="depth">The depth of a recursive loop, from 0.</param>
/// <remarks>jinja2/runtime.py, LoopContext</remarks>
internal sealed class LoopValue(IEnumerable<object?> items, long? length, Func<object?, string>? recurse, int depth)
{
    private IEnumerator<object?> _items = items.GetEnumerator();
    private bool _hasNext, _isNextRead;
    private object? _next, _current, _previous;
    private object? _lastChanged = TemplateFrame.Missing;
    private long _index = -1;

    public long Length => length ?? ReadLength();

    public bool MoveNext(out object? item)
    {
        Peek();
        _isNextRead = false;
        item = _next;
        if (!_hasNext) return false;
        _index++;
        _previous = _current;
        _current = item;
        return true;
    }

    public object? GetAttribute(string name) => name switch
    {
        "index" => _index + 1,
        "index0" => _index,
        "first" => _index == 0,
        "last" => !Peek(),
        "length" => Length,
        "revindex" => Length - _index,
        "revindex0" => Length - _index - 1,
        "depth" => depth + 1L,
        "depth0" => (long)depth,
        "previtem" => _index == 0 ? new UndefinedValue("there is no previous item") : _previous,
        "nextitem" => Peek() ? _next : new UndefinedValue("there is no next item"),
        "cycle" => (TemplateFunction)((arguments, _) => arguments.Keywords.Count == 0 && arguments.Positional.Count > 0
            ? arguments.Positional[(int)(_index % arguments.Positional.Count)]
            : throw new ChatTemplateException("cycle needs at least one value")),
        "changed" => (TemplateFunction)((arguments, _) => HasChanged(arguments)),
        _ => UndefinedValue.OfItem(this, name),
    };

    public string Recurse(TemplateArguments arguments)
    {
        BoundArguments bound = arguments.Bind("loop", "iterable");
        return recurse is not null ? recurse(bound[0])
            : throw new ChatTemplateException("the loop needs the word 'recursive' to be called: {% for a in b recursive %}");
    }

    private bool Peek()
    {
        if (!_isNextRead)
        {
            (_isNextRead, _hasNext) = (true, _items.MoveNext());
            _next = _hasNext ? _items.Current : null;
        }
        return _hasNext;
    }

    private long ReadLength()
    {
        List<object?> rest = [];
        while (_items.MoveNext()) rest.Add(_items.Current);
        _items = ((IEnumerable<object?>)rest).GetEnumerator();
        length = rest.Count + _index + 1 + (_isNextRead && _hasNext ? 1 : 0);
        return length.Value;
    }

    private bool HasChanged(TemplateArguments arguments)
    {
        arguments.RequireNoKeywords("changed");
        TupleValue value = new(arguments.Positional);
        if (TemplateValues.AreEqual(_lastChanged, value)) return false;
        _lastChanged = value;
        return true;
    }
}
